"""The reading ease is Flesch's formula, and only that."""

from __future__ import annotations

import unittest

from wordstat import measure


class Measure(unittest.TestCase):
    def test_the_formula_on_counts_made_by_hand(self) -> None:
        reading = measure("The cat sat. The dog ran.")
        self.assertEqual((reading.words, reading.sentences, reading.syllables), (6, 2, 6))
        self.assertAlmostEqual(reading.ease, round(206.835 - 1.015 * 3 - 84.6, 1))

    def test_long_words_are_harder(self) -> None:
        self.assertLess(
            measure("Organisational considerations predominate.").ease, measure("We talk a lot.").ease
        )

    def test_no_words_is_an_error(self) -> None:
        with self.assertRaises(ValueError):
            measure("42 -- !")
