"""What counts as a word, a sentence, a syllable."""

from __future__ import annotations

import unittest

from wordstat import frequencies, sentences, syllables, words


class Words(unittest.TestCase):
    def test_case_and_punctuation_do_not_matter(self) -> None:
        self.assertEqual(words("Tea, tea -- TEA!"), ["tea", "tea", "tea"])

    def test_an_apostrophe_belongs_to_its_word(self) -> None:
        self.assertEqual(words("don't well-known 42"), ["don't", "well-known"])

    def test_letters_of_any_alphabet_count(self) -> None:
        self.assertEqual(words("Привет, naïve Straße"), ["привет", "naïve", "straße"])


class Sentences(unittest.TestCase):
    def test_marks_end_them(self) -> None:
        self.assertEqual(sentences("One. Two?! Three"), ["One", "Two", "Three"])

    def test_a_decimal_point_does_not(self) -> None:
        self.assertEqual(sentences("It is 3.5 km."), ["It is 3.5 km"])


class Frequencies(unittest.TestCase):
    def test_the_alphabet_decides_among_equals(self) -> None:
        self.assertEqual(frequencies("b a b a c", 2), [("a", 2), ("b", 2)])


class Syllables(unittest.TestCase):
    def test_known_words(self) -> None:
        for word, count in (
            ("a", 1),
            ("code", 1),
            ("table", 2),
            ("cluster", 2),
            ("deployment", 3),
            ("rhythm", 1),
        ):
            with self.subTest(word=word):
                self.assertEqual(syllables(word), count)
