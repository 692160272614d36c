"""`python wordstat.pyz FILE`: print the counts of a file as one line of JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from wordstat.counting import frequencies
from wordstat.reading import measure

TOP_WORDS = 3


def main() -> None:
    """Measure the file that the first argument names."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    print(json.dumps({**dataclasses.asdict(measure(text)), "top": dict(frequencies(text, TOP_WORDS))}))


if __name__ == "__main__":
    main()
