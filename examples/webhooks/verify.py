"""Verify a webhook request of Helix Ray: python verify.py SIGNING_SECRET ID TIMESTAMP SIGNATURES < body"""

import base64
import hashlib
import hmac
import os
import sys
import time

TOLERANCE_S = float(os.environ.get("TOLERANCE_S", "300"))


def is_genuine(signing_secret: str, message_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    """Say whether a request is of Helix Ray, and not an old one that somebody sends again."""
    if abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    key = base64.b64decode(signing_secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return any(hmac.compare_digest(expected, each) for each in signatures.split(" "))


if __name__ == "__main__":
    secret, message, at, given = sys.argv[1:5]
    genuine = is_genuine(secret, message, at, given, sys.stdin.buffer.read())
    print("genuine" if genuine else "not genuine")
    sys.exit(not genuine)
