"""Cut a text into words, sentences and syllables."""

from __future__ import annotations

import re
from collections import Counter

WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
SENTENCE_END = re.compile(r"[.!?]+(?:\s|$)")
VOWELS = re.compile(r"[aeiouy]+")


def words(text: str) -> list[str]:
    """Return the words in lower case; an apostrophe or hyphen inside one belongs to it."""
    return [match.group().lower() for match in WORD.finditer(text)]


def sentences(text: str) -> list[str]:
    """Return the sentences, without the marks that end them."""
    return [part.strip() for part in SENTENCE_END.split(text) if part.strip()]


def frequencies(text: str, top: int) -> list[tuple[str, int]]:
    """Return the `top` most frequent words and their counts; among equals the alphabet decides."""
    counts = Counter(words(text))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]


def syllables(word: str) -> int:
    """Return about how many syllables an English word has: groups of vowels, less a
    silent final e, at least one."""
    groups = len(VOWELS.findall(word.lower()))
    if word.lower().endswith("e") and not word.lower().endswith("le") and groups > 1:
        groups -= 1
    return max(groups, 1)
