"""Runs an example as people run examples: as a script, typed at a prompt, and typed at a prompt that runs in
an event loop, as notebooks do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

WAYS = ("script", "python -i", "event loop")
RUN_S_MAX = 240
_BLOCK = re.compile(r"(?:^    .*\n|^\n(?=(?:\n)*    ))+", re.MULTILINE)


def indented_code(page: str) -> list[str]:
    """Return the indented blocks of a Markdown text, in order."""
    return [_dedented(found[0]) for found in _BLOCK.finditer(page)]


def _dedented(block: str) -> str:
    return "".join(line.removeprefix("    ") for line in block.strip("\n").splitlines(keepends=True)) + "\n"


def typed(code: str) -> str:
    """Return what somebody types: statement by statement, an empty line ends each block and is in none."""
    lines = code.splitlines()
    statements = []
    for node in ast.parse(code).body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        given = [line for line in lines[first - 1 : node.end_lineno] if line.strip()]
        statements.append("\n".join([*given, ""]))
    return "\n".join([*statements, ""])


class Running:
    """An example that runs, with its output still to come."""

    def __init__(self, way: str, code: str, folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir()
        (folder / "example.py").write_text(code)
        options = {"script": ["example.py"], "python -i": ["-i"], "event loop": ["-m", "asyncio"]}
        # A notebook has a running loop already.
        given = code.replace("asyncio.run(main())", "await main()") if way == "event loop" else code
        self.way = way
        self._input = "" if way == "script" else typed(given)
        self._process = subprocess.Popen(
            [sys.executable, *options[way]], cwd=folder, env=dict(environment), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def printed(self) -> str:
        """Return what it printed, once it has ended; it must have raised nothing."""
        try:
            out, err = self._process.communicate(self._input, timeout=RUN_S_MAX)
        finally:
            self._process.kill()
        assert self._process.returncode == 0, f"{self.way}:\n{out}\n{err}"
        assert "Traceback" not in err, f"{self.way}:\n{out}\n{err}"
        assert "Error" not in err, f"{self.way}:\n{out}\n{err}"
        return out
