"""Counts about a text: words, their frequencies, sentences, and how hard it is to read."""

from wordstat.counting import frequencies, sentences, syllables, words
from wordstat.reading import Reading, measure

__all__ = ["Reading", "frequencies", "measure", "sentences", "syllables", "words"]
