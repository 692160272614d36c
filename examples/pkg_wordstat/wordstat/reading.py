"""How hard an English text is to read."""

from __future__ import annotations

from dataclasses import dataclass

from wordstat.counting import sentences, syllables, words


@dataclass(frozen=True)
class Reading:
    """Counts of a text and its Flesch reading ease (Flesch, 1948): 100 is very easy, 0 very hard."""

    words: int
    sentences: int
    syllables: int
    ease: float


def measure(text: str) -> Reading:
    """Return the counts and the reading ease; raises ValueError for a text without words."""
    found = words(text)
    if not found:
        raise ValueError("the text has no words")
    word_count, sentence_count = len(found), max(len(sentences(text)), 1)
    syllable_count = sum(syllables(word) for word in found)
    ease = 206.835 - 1.015 * word_count / sentence_count - 84.6 * syllable_count / word_count
    return Reading(word_count, sentence_count, syllable_count, round(ease, 1))
