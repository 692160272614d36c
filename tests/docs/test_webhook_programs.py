"""The programs of docs/webhooks.md verify the test vector of that page, and refuse what was changed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from helix_ray.webhooks.signing import signed_headers
from tests.docs.test_examples import build_go

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "examples" / "webhooks"
PAGE = (ROOT / "docs" / "webhooks.md").read_text()
PROGRAM_MAX_S = 240
ALWAYS = {"TOLERANCE_S": "1e12", "PATH": "/usr/bin:/bin"}

Require = Callable[[str], str]


def shown(name: str) -> str:
    """Return a value of the test vector."""
    (value,) = re.findall(rf"^\| {re.escape(name)} \| `(.*)` \|$", PAGE, re.MULTILINE)
    return str(value)


BODY = shown("body").encode()
KEY, ID, AT = (shown(f"`{name}`") for name in ("signing_secret", "webhook-id", "webhook-timestamp"))
OTHER = "whsec_" + base64.b64encode(b"k" * 32).decode()
VECTORS = json.loads((ROOT / "tests" / "golden" / "webhook-vectors.json").read_text())["bodies"]
SIGNATURE = shown("`webhook-signature`")


def command(language: str, require: Require, folder: Path) -> list[str]:
    """Return how a program is started."""
    if language == "py":
        return [sys.executable, str(PROGRAMS / "verify.py")]
    if language == "go":
        (folder / "go.mod").write_text("module verify\n\ngo 1.19\n")
        (folder / "main.go").write_bytes((PROGRAMS / "verify.go").read_bytes())
        build_go(require("go"), folder, folder / "verify", folder)
        return [str(folder / "verify")]
    if language == "sh":
        require("openssl")
        return ["sh", str(PROGRAMS / "verify.sh")]
    return [require("node"), str(PROGRAMS / "verify.js")]


def says(
    argv: list[str],
    body: bytes,
    signatures: str,
    *,
    key: str = KEY,
    at: str = AT,
    environment: dict[str, str] = ALWAYS,
) -> str:
    """Return what a program says of a request."""
    done = subprocess.run(
        [*argv, key, ID, at, signatures], input=body, capture_output=True, timeout=PROGRAM_MAX_S,
        check=False, env=environment,
    )  # fmt: skip
    assert (done.returncode == 0) == (done.stdout == b"genuine\n"), done.stderr
    return done.stdout.decode().strip()


@pytest.mark.parametrize("language", ["py", "js", "sh", "go"])
def test_a_program_verifies(language: str, require: Require, tmp_path: Path) -> None:
    """The signature anywhere among several; not another body, key or signature, and not an old request."""
    argv = command(language, require, tmp_path)
    assert says(argv, BODY, SIGNATURE) == "genuine"
    assert says(argv, BODY, f"v1,AAAA {SIGNATURE}") == "genuine"
    assert says(argv, BODY + b"\n", SIGNATURE) == "not genuine"
    assert says(argv, BODY, SIGNATURE, key=OTHER) == "not genuine"
    assert says(argv, BODY, "v1,AAAA") == "not genuine"
    if language != "sh":
        assert says(argv, BODY, SIGNATURE, environment={"PATH": ALWAYS["PATH"]}) == "not genuine"


if MODULES := os.environ.get("HELIX_NPM_MODULES"):

    def test_the_package_of_npm_verifies(require: Require) -> None:
        """Every body of the published vectors, signed with either form of secret; no changed one."""
        argv = [require("node"), str(PROGRAMS / "verify-npm.js")]
        environment = {"PATH": ALWAYS["PATH"], "NODE_PATH": str(MODULES)}
        for vector in VECTORS:
            body, key = vector["raw"].encode(), vector["signing_secret"]
            now = int(time.time())
            headers = signed_headers(body, ID, now, vector["secret"], [OTHER, key])
            signatures = headers["webhook-signature"]
            for secret in (key, OTHER):
                said = says(argv, body, signatures, key=secret, at=str(now), environment=environment)
                assert said == "genuine"
            for changed, at in ((body + b" ", now), (body, now - 1)):
                said = says(argv, changed, signatures, key=key, at=str(at), environment=environment)
                assert said == "not genuine"


def test_the_vector_has_all_three_signatures() -> None:
    """As the page says: the raw body, and its canonical JSON without `signature`, keyed with the text."""
    secret = shown("`secret`").encode()
    raw = hmac.new(secret, BODY, hashlib.sha256).hexdigest()
    assert shown("`X-Hub-Signature-256`") == f"sha256={raw}"
    body = json.loads(BODY)
    signature = body.pop("signature")
    # This body has no numbers and ASCII only, so sorted and compact is canonical.
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    assert signature == f"sha256={hmac.new(secret, canonical, hashlib.sha256).hexdigest()}"
