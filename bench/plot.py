"""Plots as SVG: shares of goals, bars of each proxy, and lines over a logarithmic axis. No library is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

_MET, _MISSED, _OWN, _OTHER = "#2f7d5b", "#b5542c", "#2f5f9e", "#a9b4c2"
_INK, _GRID = "#222222", "#dddddd"
_LINES = ("#2f5f9e", "#b5542c", "#2f7d5b", "#7a4fa0")
_FONT = 'font-family="sans-serif" font-size="13"'


class Measured(NamedTuple):
    """A median, with the minimum and the maximum of all rounds."""

    median: float
    low: float
    high: float


def shares(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Draw one bar for each row, from the goal to the reached multiple, on a logarithmic axis.

    Args:
        title: the title above the plot.
        rows: for each bar the label, the reached multiple of the goal, and the text beside the bar.
    """
    left, width, step, above = 290, 330, 26, 58
    # A logarithmic axis has no zero.
    rows = [(name, max(share, 0.01), note) for name, share, note in rows]
    low = min([0.5, *(0.9 * share for _, share, _ in rows)])
    high = max([2.0, *(1.1 * share for _, share, _ in rows)])

    def place(share: float) -> float:
        return left + width * math.log(share / low) / math.log(high / low)

    below = above + step * len(rows)
    parts = [_text(10, 24, title, weight="bold")]
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    for power in (power for power in powers if power % (1 + len(powers) // 6) == 0):
        tick = 2.0**power
        if power:
            parts.append(_line([(place(tick), above - 4), (place(tick), below)], _GRID))
        parts.append(_text(place(tick), above - 10, f"{tick:g} x" if power else "goal", anchor="middle"))
    for number, (name, share, note) in enumerate(rows):
        top = above + 2 + step * number
        end = place(share)
        start, length = min(place(1), end), max(abs(end - place(1)), 1)
        parts.append(_text(left - 10, top + 14, name, anchor="end"))
        parts.append(_bar(start, top, length, 18, _MET if share >= 1 else _MISSED))
        # On a background of its own, so that no grid line crosses the text.
        parts.append(_bar(left + width + 8, top, 210, 18, "white"))
        parts.append(_text(left + width + 14, top + 14, note))
    parts.append(_line([(place(1), above - 4), (place(1), below)], _INK, 2))
    return _document(left + width + 224, below + 8, parts)


def bars(title: str, own: str, values: Mapping[str, Measured], goal: float | None) -> str:
    """Draw one bar for each proxy, the longest first, on an axis from 0, with a thin line from minimum to maximum.

    Args:
        title: the title above the plot.
        own: the proxy whose bar has another colour.
        values: the values by name.
        goal: the position of the goal's line.
    """
    left, width, step, above = 112, 236, 22, 50
    top = 1.04 * max([goal or 0.0, *(value.high for value in values.values())])

    def place(value: float) -> float:
        return left + width * value / top

    below = above + step * len(values)
    parts = [_text(10, 22, title, weight="bold")]
    for tick in _ticks(top, 4):
        parts.append(_line([(place(tick), above - 4), (place(tick), below)], _GRID))
        parts.append(_text(place(tick), below + 16, f"{tick:,g}", anchor="middle"))
    for number, name in enumerate(sorted(values, key=lambda name: -values[name].median)):
        value, at = values[name], above + 2 + step * number
        parts.append(_text(left - 8, at + 13, name, anchor="end", weight="bold" if name == own else "normal"))
        parts.append(_bar(left, at, max(place(value.median) - left, 1), 16, _OWN if name == own else _OTHER))
        parts.append(_line([(place(value.low), at + 8), (place(value.high), at + 8)], _INK))
    if goal is not None:
        parts.append(_line([(place(goal), above - 4), (place(goal), below)], _MISSED, 2))
        parts.append(_text(place(goal), above - 9, "goal", anchor="middle", fill=_MISSED))
    return _document(left + width + 32, below + 28, parts)


def lines(
    title: str, x_label: str, y_label: str, series: Mapping[str, Sequence[tuple[float, Measured]]], *, top: float
) -> str:
    """Draw one line for each series: x logarithmic, y from 0 to `top`, with a thin line from minimum to maximum."""
    xs = sorted({x for values in series.values() for x, _ in values})
    left, above, across, tall = 62, 64, 310, 230

    def place(x: float, y: float) -> tuple[float, float]:
        return left + across * math.log(x / xs[0]) / math.log(xs[-1] / xs[0]), above + tall * (1 - y / top)

    parts = [_text(10, 24, title, weight="bold"), _text(left - 8, above - 12, y_label, anchor="end")]
    for y in _ticks(top, 5):
        parts.append(_line([place(xs[0], y), place(xs[-1], y)], _INK if y == 0 else _GRID))
        parts.append(_text(left - 8, place(xs[0], y)[1] + 4, f"{y:,g}", anchor="end"))
    for x in xs:
        parts.append(_text(place(x, 0)[0], above + tall + 18, f"{x:,g}", anchor="middle"))
    parts.append(_text(left + across / 2, above + tall + 38, x_label, anchor="middle"))
    for number, (name, values) in enumerate(series.items()):
        colour = _LINES[number % len(_LINES)]
        at = [place(x, value.median) for x, value in values]
        parts.append(_line(at, colour, 2))
        parts += [_line([place(x, value.low), place(x, value.high)], colour) for x, value in values]
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in at]
        # Above the highest point of the label's half of the line.
        highest = min(place(x, value.high)[1] for x, value in values[: len(values) // 2 + 1])
        parts.append(_text(at[0][0] + 8, highest - 8, name, fill=colour, halo=True))
    return _document(left + across + 38, above + tall + 50, parts)


def table(plots: Sequence[str], columns: int) -> str:
    """Combine plots into one, row by row from left to right."""
    across, down, parts = 0, 0, []
    for first in range(0, len(plots), columns):
        x, high = 0, 0
        for plot in plots[first : first + columns]:
            width, height = (int(plot.split(f'{word}="', 1)[1].split('"', 1)[0]) for word in ("width", "height"))
            parts.append(plot.replace("<svg ", f'<svg x="{x}" y="{down}" ', 1))
            x, high = x + width, max(high, height)
        across, down = max(across, x), down + high
    return _document(across, down, parts)


def _ticks(top: float, parts: int) -> list[float]:
    """Find round numbers from 0 to `top`, about that many."""
    rough = top / parts
    unit = 10 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
    return [step * number for number in range(int(top / step) + 1)]


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    weight: str = "normal",
    fill: str = _INK,
    halo: bool = False,
) -> str:
    style = f'text-anchor="{anchor}" font-weight="{weight}" fill="{fill}"'
    if halo:
        style += ' stroke="white" stroke-width="5" paint-order="stroke"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _bar(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>'


def _line(points: Sequence[tuple[float, float]], colour: str, width: int = 1) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _document(width: int, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    paper = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f"{head} {_FONT}>", paper, *parts, "</svg>"]) + "\n"
