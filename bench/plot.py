"""Two plots as SVG: bars against a goal, and lines over a logarithmic axis. Nothing is needed for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_MET, _MISSED, _INK, _GRID = "#2f7d5b", "#b5542c", "#222222", "#dddddd"
_LINES = ("#2f5f9e", "#b5542c", "#2f7d5b", "#7a4fa0")
_FONT = 'font-family="sans-serif" font-size="13"'


def bars(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Draw one bar a row, on a logarithmic axis where 1 is the goal.

    Args:
        title: what stands above.
        rows: what is compared, how many times its goal it reaches, and what to write beside the bar.
    """
    left, width, step = 300, 360, 26
    low = min([0.5, *(0.9 * share for _, share, _ in rows)])
    high = max([2.0, *(1.1 * share for _, share, _ in rows)])

    def place(share: float) -> float:
        return left + width * math.log(share / low) / math.log(high / low)

    height = 60 + step * len(rows)
    parts = [_text(10, 24, title, weight="bold"), _text(place(1), 46, "goal", anchor="middle")]
    for number, (name, share, note) in enumerate(rows):
        top = 54 + step * number
        end = place(share)
        fill = _MET if share >= 1 else _MISSED
        start, length = min(place(1), end), max(abs(end - place(1)), 1)
        parts.append(_text(left - 10, top + 14, name, anchor="end"))
        parts.append(f'<rect x="{start:.1f}" y="{top}" width="{length:.1f}" height="18" fill="{fill}"/>')
        parts.append(_text(max(end, place(1)) + 6, top + 14, note))
    parts.append(_line([(place(1), 50), (place(1), height - 4)], _INK))
    return _document(left + width + 150, height, parts)


def lines(
    title: str, x_label: str, y_label: str, series: Mapping[str, Sequence[tuple[float, float]]], *, width: int = 400
) -> str:
    """Draw one line a series: x logarithmic, y from 0 upwards."""
    points = [point for values in series.values() for point in values]
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    top = 1.15 * max(y for _, y in points)
    left, above, tall = 60, 44, 220
    across = width - left - 20

    def place(x: float, y: float) -> tuple[float, float]:
        return left + across * math.log(x / first) / math.log(last / first), above + tall * (1 - y / top)

    parts = [_text(10, 24, title, weight="bold")]
    for y in _ticks(top):
        parts.append(_line([place(first, y), place(last, y)], _GRID))
        parts.append(_text(left - 8, place(first, y)[1] + 4, f"{y:g}", anchor="end"))
    for x in sorted({x for x, _ in points}):
        parts.append(_text(place(x, 0)[0], above + tall + 18, f"{x:,g}", anchor="middle"))
    parts.append(_text(left + across / 2, above + tall + 38, f"{x_label}; {y_label}", anchor="middle"))
    for number, (name, values) in enumerate(series.items()):
        colour = _LINES[number % len(_LINES)]
        at = [place(x, y) for x, y in values]
        parts.append(_line(at, colour, 2))
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in at]
        parts.append(_text(at[0][0] + 6, at[0][1] - 8, name, fill=colour))
    return _document(width, above + tall + 50, parts)


def beside(*plots: str) -> str:
    """Put plots into one, from left to right."""
    across, high, parts = 0, 0, []
    for plot in plots:
        width, height = (int(plot.split(f'{word}="', 1)[1].split('"', 1)[0]) for word in ("width", "height"))
        parts.append(plot.replace("<svg ", f'<svg x="{across}" ', 1))
        across, high = across + width, max(high, height)
    return _document(across, high, parts)


def _ticks(top: float) -> list[float]:
    rough = top / 4
    unit = 10 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
    return [step * number for number in range(int(top / step) + 1)]


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", fill: str = _INK) -> str:
    style = f'text-anchor="{anchor}" font-weight="{weight}" fill="{fill}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _line(points: Sequence[tuple[float, float]], colour: str, width: int = 1) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _document(width: int, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    paper = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f"{head} {_FONT}>", paper, *parts, "</svg>"]) + "\n"
