"""The rules for passwords that are set: a length, and a short list of the worst; what was set before stays.

NIST SP 800-63B-4, section 3.1.1.2: a minimum length, a blocklist, and no rules of composition (a digit, a
capital), which make people write `Password1!`. The list has what is guessed first: the most common passwords,
the username and the product's name, each also with digits and punctuation around it and with the usual
substitutions (`P@ssw0rd1`).
"""

from __future__ import annotations

import unicodedata
from typing import Final

from helix_ray.core.errors import Rejected, invalid

PASSWORD_CHARS_MIN = 8
PASSWORD_CHARS_MAX = 256

PRODUCT: Final = ("helix", "helixray", "helix-ray", "helix_ray", "helix ray", "ray")
# What is left of the most common passwords without the digits and punctuation around them, and those that
# consist of digits and rows of keys. From the lists of the UK's NCSC and of SecLists (10k-most-common).
WORST: Final = frozenset(
    """
    password passwort passphrase passwd pass pwd secret changeme changeit letmein welcome default login signin
    admin administrator root superuser sysadmin operator user username guest test tester testing demo example
    temp temporary master access server system service public private internal company office manager
    qwerty qwertyu qwertyui qwertyuiop qwertz qwertzui qwertzuiop azerty azertyui asdf asdfg asdfgh asdfghj
    asdfghjk asdfghjkl zxcvbn zxcvbnm qweasd qweasdzxc qazwsx qazwsxedc zaqwsx 1qaz2wsx 1qazxsw2 zaq12wsx
    1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y q1w2e3r4 q1w2e3r4t5 qwer1234 1234qwer asdf1234 abcd1234 a1b2c3d4 abc123
    abcdef abcdefg abcdefgh abcdefghi aabbcc abcabc 12345678 123456789 1234567890 0123456789 01234567
    87654321 987654321 0987654321 11223344 1122334455 12341234 12344321 123123123 123321123 13131313 12121212
    147258369 159357456 102030 10203040 31415926 20202020 19191919 69696969 password1 iloveyou iloveu loveyou
    lovely love sunshine princess dragon monkey football baseball basketball soccer hockey superman batman
    spiderman pokemon starwars startrek matrix shadow michael jennifer jordan daniel thomas charlie andrew
    ashley jessica michelle nicole hunter killer computer internet samsung google facebook microsoft windows
    apple android linux ubuntu debian docker kubernetes oracle mysql postgres postgresql redis mongodb cisco
    whatever trustno hello helloworld goodbye freedom blessed cheese chocolate cookie banana orange pepper
    summer winter spring autumn january february march april june july august september october november
    december monday tuesday wednesday thursday friday saturday sunday flower butterfly purple yellow silver
    golden mustang corvette ferrari porsche mercedes harley liverpool arsenal chelsea barcelona realmadrid
    security secure safety notsecure insecure nothing nobody somebody anything everything
    """.split()  # noqa: SIM905 - words are read in a text, not in a list
)
_SUBSTITUTES = str.maketrans(
    {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"}
)


def normalised(password: str) -> bytes | None:
    """Normalise a password (NFKC), so that it does not depend on the keyboard; None for lone surrogates."""
    try:
        return unicodedata.normalize("NFKC", password).encode()
    except UnicodeEncodeError:
        return None


def check_rules(password: str, *, username: str = "", chars_min: int = PASSWORD_CHARS_MIN) -> Rejected | None:
    """Return what is wrong with a password that is to be set; None when it is acceptable."""
    if not chars_min <= len(password) <= PASSWORD_CHARS_MAX:
        return invalid(
            f"A password must have {chars_min} to {PASSWORD_CHARS_MAX} characters",
            field="password",
            reason="length",
            chars_min=chars_min,
            chars_max=PASSWORD_CHARS_MAX,
        )
    if normalised(password) is None:
        return invalid("The password is not valid Unicode text", field="password", reason="characters")
    return _check_worst(password, username)


def _check_worst(password: str, username: str) -> Rejected | None:
    forms = _forms(password)
    names = {form for name in (username, *PRODUCT) if name for form in _forms(name)}
    if not forms.isdisjoint(names):
        return invalid(
            "A password must not be the username or the name of the product, nor these with digits or "
            "punctuation around them",
            field="password",
            reason="name",
        )
    if not forms.isdisjoint(WORST) or len(set(password.casefold())) < 3:
        return invalid(
            "This password is one of the most common ones, which are guessed first. Choose another one, such "
            "as four unrelated words",
            field="password",
            reason="common",
        )
    return None


def _forms(text: str) -> set[str]:
    """Return a text without case, without what is around its letters, and with letters for substitutes."""
    whole = unicodedata.normalize("NFKC", text).casefold()
    ends = len(whole)
    while ends and not whole[ends - 1].isalpha():
        ends -= 1
    begins = 0
    while begins < ends and not whole[begins].isalpha():
        begins += 1
    cut = (whole, whole[:ends], whole[begins:ends])
    return {form for each in cut for form in (each, each.translate(_SUBSTITUTES)) if form}
