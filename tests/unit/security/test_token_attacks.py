"""A corpus of attacks on access tokens: whatever is not exactly what was issued is UNAUTHORIZED."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest

from helix_ray.core.errors import ErrorCode, Refused
from helix_ray.security.keys import KeyRing
from helix_ray.security.tokens import TokenIssuer, make_refresh

NOW = 1_700_000_000
SECRET, OTHER = b"s" * 32, b"o" * 32
ISSUER = TokenIssuer(KeyRing("k1", {"k1": SECRET}), clock=lambda: float(NOW))
CLAIMS: dict[str, Any] = {
    "iss": "helix-ray", "aud": "helix-ray-api", "sub": "user-1", "name": "ada", "roles": ["developer"],
    "sid": "session-1", "jti": "token-1", "iat": NOW, "exp": NOW + 900,
}  # fmt: skip
HEADER: dict[str, Any] = {"alg": "HS256", "typ": "JWT", "kid": "k1"}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(head: str, body: str, secret: bytes = SECRET, digest: Any = hashlib.sha256) -> str:
    return f"{head}.{body}.{b64(hmac.digest(secret, f'{head}.{body}'.encode(), digest))}"


def token(header: Any = HEADER, claims: Any = CLAIMS, **how: Any) -> str:
    texts = [part if isinstance(part, str) else json.dumps(part) for part in (header, claims)]
    return signed(b64(texts[0].encode()), b64(texts[1].encode()), **how)


def with_header(**more: Any) -> str:
    return token({**HEADER, **more})


def with_claim(name: str, value: Any) -> str:
    return token(claims={**CLAIMS, name: value})


def without(name: str) -> str:
    return token(claims={key: value for key, value in CLAIMS.items() if key != name})


GOOD = token()
HEAD, BODY, MAC = GOOD.split(".")


def unsigned(alg: str) -> str:
    return f"{b64(json.dumps({**HEADER, 'alg': alg}).encode())}.{BODY}."


def other_spelling(part: str) -> str:
    """Return base64url of the same bytes whose unused last bits are not zero."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + letters[letters.index(part[-1]) ^ 1]


ATTACKS: dict[str, Callable[[], str]] = {
    **{f"alg {alg}, unsigned": lambda alg=alg: unsigned(alg) for alg in ("none", "None", "NONE", "nOnE", "")},
    **{f"alg {alg}": lambda alg=alg: with_header(alg=alg)
       for alg in ("none", "RS256", "ES256", "PS256", "EdDSA", "hs256", "HS384", "HS512", ["HS256"],
                   None, 1)},
    "HS512 in truth": lambda: token({**HEADER, "alg": "HS512"}, digest=hashlib.sha512),
    "HS384 in truth": lambda: token({**HEADER, "alg": "HS384"}, digest=hashlib.sha384),
    "another key": lambda: token(secret=OTHER),
    "the empty key": lambda: token(secret=b""),
    "its kid as the key": lambda: token(secret=b"k1"),
    **{f"kid {kid!r}": lambda kid=kid: token({**HEADER, "kid": kid}, secret=b"")
       for kid in ("k2", "", "../../dev/null", "k1 UNION SELECT",
                   "/etc/passwd", "k1\x00", None, 1, ["k1"], {})},
    **{f"header {name}": lambda name=name, value=value: with_header(**{name: value}) for name, value in (
        ("crit", ["exp"]), ("crit", []), ("jwk", {"kty": "oct", "k": b64(OTHER)}),
        ("jku", "http://localhost/k"),
        ("x5u", "http://localhost/k"), ("x5c", ["MII"]), ("x5t", "x"), ("zip", "DEF"), ("cty", "JWT"),
        ("b64", False), ("enc", "A128GCM"))},
    "typ JWE": lambda: with_header(typ="JWE"),
    "without kid": lambda: token({"alg": "HS256", "typ": "JWT"}),
    **{f"without {name}": lambda name=name: without(name) for name in CLAIMS},
    **{f"{name} {value!r:.20}": lambda name=name, value=value: with_claim(name, value)
       for name in ("iat", "exp")
       for value in (str(NOW + 900), float(NOW + 900), float("nan"), float("inf"), -1, 10**30, True,
                     None, [], {})},
    "expired": lambda: with_claim("exp", NOW),
    "issued in the future": lambda: with_claim("iat", NOW + 3600),
    **{f"nbf {value!r}": lambda value=value: with_claim("nbf", value)
       for value in (NOW + 3600, "x", [], 10**30)},
    **{f"aud {value!r}": lambda value=value: with_claim("aud", value)
       for value in ("other", "", ["helix-ray-api"], ["helix-ray-api", "other"], None, 1)},
    **{f"iss {value!r}": lambda value=value: with_claim("iss", value)
       for value in ("other", "", ["helix-ray"], None, 1)},
    **{f"{name} as a list": lambda name=name: with_claim(name, ["x"])
       for name in ("sub", "name", "sid", "jti")},
    "roles as a text": lambda: with_claim("roles", "admin"),
    "roles of numbers": lambda: with_claim("roles", [1]),
    **{f"exp as {text}": lambda text=text: token(claims=json.dumps(CLAIMS).replace(str(NOW + 900), text))
       for text in ("1e400", "-1e400", "1.8e9", "0x7fffffff", "+1800000000", "Infinity", "1" * 5_000)},
    **{f"header in {name}": lambda name=name: signed(b64(json.dumps(HEADER).encode(name)), BODY)
       for name in ("utf-16", "utf-32", "utf-8-sig")},
    **{f"claims in {name}": lambda name=name: signed(HEAD, b64(json.dumps(CLAIMS).encode(name)))
       for name in ("utf-16", "utf-32", "utf-8-sig")},
    "claims that are not UTF-8": lambda: signed(
        HEAD, b64(json.dumps(CLAIMS).encode().replace(b"ada", b"\xff"))),
    "something behind the claims": lambda: token(claims=json.dumps(CLAIMS) + " {}"),
    "a zero byte behind the claims": lambda: token(claims=json.dumps(CLAIMS) + "\0"),
    "a kid in wide letters": lambda: with_header(kid="\uff4b1"),
    "an unencoded payload": lambda: signed(
        b64(json.dumps({**HEADER, "b64": False, "crit": ["b64"]}).encode()), json.dumps(CLAIMS)),
    "the signature of other letters": lambda: f"{HEAD}.{BODY}.{MAC.swapcase()}",
    "a claim twice": lambda: token(claims=json.dumps(CLAIMS)[:-1] + ', "sub": "user-2"}'),
    "a header twice": lambda: token(header=json.dumps(HEADER)[:-1] + ', "alg": "HS256"}'),
    "claims that are a list": lambda: token(claims=[CLAIMS]),
    "claims that are not JSON": lambda: token(claims="{"),
    "a header that is a list": lambda: token(header=[HEADER]),
    "nested": lambda: token(claims=GOOD),
    "nested with cty": lambda: token({**HEADER, "cty": "JWT"}, claims=json.dumps(GOOD)),
    "deep": lambda: token(claims="[" * 1_400),
    **{f"cut after {count}": lambda count=count: GOOD[:count] for count in range(0, len(GOOD), 7)},
    "one part": lambda: HEAD,
    "two parts": lambda: f"{HEAD}.{BODY}",
    "four parts": lambda: f"{GOOD}.{MAC}",
    "five parts": lambda: f"{GOOD}.{MAC}.{MAC}",
    "no signature": lambda: f"{HEAD}.{BODY}.",
    "only dots": lambda: "..",
    "padded signature": lambda: f"{GOOD}=",
    "padded header": lambda: signed(f"{HEAD}==", BODY),
    "signature spelt otherwise": lambda: f"{HEAD}.{BODY}.{other_spelling(MAC)}",
    "standard base64": lambda: f"{HEAD}.{BODY}.+/{MAC[2:]}",
    "a space": lambda: f"{GOOD} ",
    "a line end": lambda: f"{HEAD}.{BODY}.{MAC[:9]}\n{MAC[9:]}",
    "letters beyond ASCII": lambda: f"{HEAD}.{BODY}.\u0430{MAC[1:]}",
    "a lone surrogate": lambda: f"{HEAD}.{BODY}.\ud800{MAC[1:]}",
    "a zero byte": lambda: f"{GOOD}\x00",
    "other claims, same signature": lambda: f"{HEAD}.{with_claim('roles', ['admin']).split('.')[1]}.{MAC}",
    "other header, same signature": lambda: f"{with_header(kid='k1', typ='jwt').split('.')[0]}.{BODY}.{MAC}",
    "a megabyte": lambda: with_claim("name", "x" * 1_000_000),
    "a megabyte of dots": lambda: "." * 1_000_000,
    "a refresh token": make_refresh,
    "an API token": lambda: "helix_pat_0123456789abcdefghijklmnopqrstuv",
    "a device's credential": lambda: "helix_dev_0123456789abcdefghijklmnopqrstuv",
    "the mac of an attempt": lambda: hmac.new(SECRET, b"attempt 1 of task-1 for u", "sha256").hexdigest(),
}  # fmt: skip


def test_what_the_attacks_start_from_is_accepted() -> None:
    """So that each attack is refused for its own difference."""
    assert ISSUER.verify(GOOD).user_id == "user-1"


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused(attack: str) -> None:
    """As UNAUTHORIZED and nothing else: no attack makes the server fail."""
    with pytest.raises(Refused) as caught:
        ISSUER.verify(ATTACKS[attack]())
    assert caught.value.rejected.code is ErrorCode.UNAUTHORIZED
