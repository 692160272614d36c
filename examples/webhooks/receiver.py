"""A receiver of webhooks: `python receiver.py PORT SECRET [SIGNING_SECRET]`; a secret `whsec_...` is both.

It needs `pip install standardwebhooks`.
A request is taken when every one of its signatures is right. The id of a message is the same at each try, so
a message that has come before is answered, and not worked on again.
"""

import hashlib
import hmac
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from standardwebhooks import Webhook, WebhookVerificationError

SIGNATURE = re.compile(rb',"signature":"(sha256=[0-9a-f]{64})"(,"timestamp":"[^"]*"})$')


def hex_hmac(secret: str, data: bytes) -> str:
    """Return `sha256=` and the hex HMAC."""
    return "sha256=" + hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()


def problem(body: bytes, headers: dict[str, str], secret: str, signing_secret: str) -> str | None:
    """Return which signature is wrong; None if all are right. Names of headers are in lower case."""
    try:
        Webhook(signing_secret).verify(body, headers)
    except WebhookVerificationError as error:
        return f"webhook-signature: {error}"
    if not hmac.compare_digest(headers.get("x-hub-signature-256", ""), hex_hmac(secret, body)):
        return "X-Hub-Signature-256"
    # The body is canonical JSON: without its signature it is what was signed.
    found = SIGNATURE.search(body)
    if not found or not hmac.compare_digest(
        found[1].decode(), hex_hmac(secret, body[: found.start()] + found[2])
    ):
        return "signature"
    return None


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what is signed, 401 to anything else."""

    secrets: tuple[str, str]
    seen: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        """Check a request, then work on it once."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        wrong = problem(body, headers, *self.secrets)
        if wrong is None and headers["webhook-id"] not in self.seen:
            self.seen.add(headers["webhook-id"])
            print(body.decode(), flush=True)
        self.send_response(204 if wrong is None else 401, wrong)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print only what was received."""


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python receiver.py PORT SECRET [SIGNING_SECRET]")
    Receiver.secrets = (sys.argv[2], sys.argv[-1])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
