"""Fenced snippets of Markdown pages: found, checked for a known language, made runnable.

page text -> Snippet(language, code, line, not_run) -> the command that runs it
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

RUN = ("bash", "console", "python")
SHOWN = ("text", "json")
FENCE = re.compile(r"^(?:<!-- not-run: (?P<why>.+?) -->\n+)?```(?P<language>\S*)\n(?P<code>.*?)^```$", re.M | re.S)


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """One fenced block. `not_run`: the reason given in the page for not running it."""

    page: Path
    line: int
    language: str
    code: str
    not_run: str

    @property
    def runs(self) -> bool:
        """Whether the test executes it."""
        return self.language in RUN and not self.not_run

    def command(self) -> list[str]:
        """The command that runs it. Of a console, the lines behind `$ ` are typed; the rest is their output."""
        if self.language == "python":
            return [sys.executable, "-W", "error", "-c", self.code]
        code = self.code
        if self.language == "console":
            code = "\n".join(line.removeprefix("$ ") for line in code.splitlines() if line.startswith("$ "))
        return ["bash", "-euo", "pipefail", "-c", code]


def snippets(page: Path) -> list[Snippet]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(
            page=page,
            line=text.count("\n", 0, match.start()) + 1,
            language=match["language"],
            code=match["code"],
            not_run=match["why"] or "",
        )
        for match in FENCE.finditer(text)
    ]


def pages(root: Path) -> list[Path]:
    """Every page of the documentation."""
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]
