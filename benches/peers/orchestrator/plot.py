"""The plot: one panel of horizontal bars for each figure, in plain SVG that follows the
reader's light or dark setting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .figures import FIGURES, Figure, Summary
from .results import Results
from .systems import Contender

WIDTH = 760
LABELS = 190
VALUES = 150
BARS = WIDTH - LABELS - VALUES
ROW = 22
HEAD = 44
GAP = 14

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .note, .unit { fill: #59636e; }
  .bar { fill: #9aa7b4; }
  .ours { fill: #0969da; }
  .spread { stroke: #1f2328; stroke-width: 1.5; opacity: .55; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note, .unit { fill: #9198a1; }
    .bar { fill: #59636e; }
    .ours { fill: #4493f8; }
    .spread { stroke: #e6edf3; }
  }
"""


@dataclass(frozen=True)
class Bar:
    contender: Contender
    summary: Summary


def draw(results: Results, contenders: Sequence[Contender]) -> str:
    """Medians at those settings of each that are the best for the figure, the best first, with the spread as a line."""
    parts: list[str] = []
    height = 30
    for figure in FIGURES:
        bars = _bars(results, contenders, figure)
        if bars:
            parts.append(_panel(figure, bars, height))
            height += HEAD + ROW * len(bars) + GAP
    note = "Medians at each system's best settings for the figure (Postrider: its defaults); lines: least to most."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Postrider and its rivals, side by side">',
            f"<style>{STYLE}</style>",
            f'<text class="note" x="0" y="18">{escape(note)}</text>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _bars(results: Results, contenders: Sequence[Contender], figure: Figure) -> list[Bar]:
    bars: list[Bar] = []
    # No settings are the best for every figure, and a system with many of them is one bar all the same.
    for system in dict.fromkeys(contender.system for contender in contenders):
        settings = [contender for contender in contenders if contender.system is system]
        if best := results.best(settings, figure):
            bars.append(Bar(*best))
    return sorted(bars, key=lambda bar: bar.summary.median, reverse=figure.higher_is_better)


def _panel(figure: Figure, bars: Sequence[Bar], top: float) -> str:
    scale = BARS / max(max(bar.summary.most for bar in bars), 1e-9)
    direction = "higher is better" if figure.higher_is_better else "lower is better"
    title = figure.title[0].upper() + figure.title[1:]
    lines = [
        f'<text x="0" y="{top + 24}"><tspan class="title">{escape(title)}</tspan>'
        f'<tspan class="unit" dx="8">{escape(figure.unit)}, {direction}</tspan></text>'
    ]
    for place, bar in enumerate(bars):
        lines += _bar(figure, bar, scale, top + HEAD - 8 + place * ROW)
    return "\n".join(lines)


def _bar(figure: Figure, bar: Bar, scale: float, top: float) -> list[str]:
    summary, contender = bar.summary, bar.contender
    name = contender.system.name if contender.is_ours else f"{contender.system.name} ({contender.system.language})"
    middle = top + ROW / 2
    length = max(summary.median * scale, 1)
    least, most = (LABELS + max(value * scale, 0) for value in (summary.least, summary.most))
    kind = "bar ours" if contender.is_ours else "bar"
    weight = ' class="title"' if contender.is_ours else ""
    return [
        f'<text x="{LABELS - 8}" y="{middle + 4.5:.1f}" text-anchor="end"{weight}>{escape(name)}</text>',
        f'<rect class="{kind}" x="{LABELS}" y="{top + 3}" width="{length:.1f}" height="{ROW - 6}" rx="2"/>',
        f'<line class="spread" x1="{least:.1f}" x2="{most:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text x="{max(LABELS + length, most) + 8:.1f}" y="{middle + 4.5:.1f}"{weight}>'
        f"{figure.text(summary.median)}</text>",
    ]
