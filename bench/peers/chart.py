"""Bars as SVG, readable on a light and on a dark page: panels of named bars -> text of one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 760, 190, 150
BAR, GAP, HEAD = 16, 6, 34
INK, OURS, OTHERS = "#7d8590", "#e8590c", "#8aa4c0"
"""Greys and colours that stand out from white and from black alike; the picture has no background."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One server."""

    label: str
    rate: float
    ratio: float
    ours: bool


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One load."""

    title: str
    bars: Sequence[Bar]


def draw(title: str, panels: Sequence[Panel]) -> str:
    """The picture. Bars of a panel are scaled to its longest."""
    parts, y = [], 8
    for panel in panels:
        parts.append(_text(0, y + 16, panel.title, anchor="start", weight="600"))
        y += HEAD - 8
        longest = max((bar.ratio for bar in panel.bars), default=1.0)
        for bar in panel.bars:
            width = max(1.0, bar.ratio / longest * (WIDTH - LEFT - RIGHT))
            colour, weight = (OURS, "600") if bar.ours else (OTHERS, "400")
            parts.append(_text(LEFT - 8, y + 12, bar.label, anchor="end", weight=weight))
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
            words = f"{bar.rate:,.0f}/s  ({bar.ratio:.2f}x)"
            parts.append(_text(LEFT + width + 6, y + 12, words, anchor="start", weight=weight))
            y += BAR + GAP
        y += 14
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">'
    )
    return "\n".join([head, f"<title>{escape(title)}: requests a second</title>", *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, words: str, *, anchor: str, weight: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" fill="{INK}">{escape(words)}</text>'
    )
