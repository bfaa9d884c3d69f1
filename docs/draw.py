"""Draws the pictures of docs/explanation as SVG: `python docs/draw.py`.

Layers are drawn from tests/test_layers.py, state machines from their transition tables. tests/test_documentation.py
fails when a picture that is checked in is not the one that this script draws.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "explanation"

INK, SOFT, LINE, FILL, MARK = "#1b1f24", "#57606a", "#6e7781", "#eef2f7", "#dbe7f6"
GRAVE = "#f7e3e0"
CHARACTER = 6.9
"""The width of a character of 12 px, in px, rounded up: text is never wider than reckoned."""


def text(x: float, y: float, words: str, *, size: int = 12, color: str = INK, anchor: str = "start") -> str:
    """Draw one line of text with its baseline at `y`."""
    where = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
    return f'<text {where} font-size="{size}" fill="{color}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str = FILL) -> str:
    """Draw a rounded rectangle."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="{fill}" stroke="{LINE}"/>'


def path(points: Sequence[tuple[float, float]], *, is_arrow: bool = True, is_dashed: bool = False) -> str:
    """Draw a line through points, with an arrow head at its end."""
    drawn = " ".join(f"{'L' if at else 'M'}{x:g} {y:g}" for at, (x, y) in enumerate(points))
    more = (' marker-end="url(#head)"' if is_arrow else "") + (' stroke-dasharray="4 3"' if is_dashed else "")
    return f'<path d="{drawn}" fill="none" stroke="{LINE}"{more}/>'


def document(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """Put a picture together."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif" role="img">'
    )
    marker = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0L8 4L0 8Z" fill="{LINE}"/></marker></defs>'
    )
    ground = f'<rect width="{width:g}" height="{height:g}" fill="white"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", marker, ground, *parts, "</svg>", ""])


# What each layer is for, from the lowest up.
LAYER_ROLES = (
    "values, errors, canonical hosts",
    "interfaces; bytes and patterns, no I/O",
    "TOML in, attrs out",
    "sockets and TLS",
    "providers; none knows another",
    "the choke point",
    "the proxy server; what operators see",
    "composition root; plugins",
    "the command",
)


def draw_layers(layers: Mapping[str, int]) -> str:
    """Draw packages in their layers, the highest first.

    Args:
        layers: the layer of each package, as tests/test_layers.py has it. Packages that do not exist are left out.
    """
    names = [
        name for name in layers if any((ROOT / "egress" / name).glob("*.py")) or (ROOT / f"egress/{name}.py").exists()
    ]
    top = max(layers.values())
    parts, width, row = [], 900, 46
    for layer in range(top, -1, -1):
        y = 40 + (top - layer) * row
        parts += [
            box(16, y, width - 32, row - 8, MARK if layer == layers["gate"] else FILL),
            text(28, y + 24, str(layer), size=13, color=SOFT),
        ]
        x = 52.0
        for name in (name for name in names if layers[name] == layer):
            across = len(name) * CHARACTER * 13 / 12 + 16
            parts += [
                box(x, y + 7, across, row - 22, "white"),
                text(x + across / 2, y + 24, name, size=13, anchor="middle"),
            ]
            x += across + 8
        parts.append(text(width - 28, y + 24, LAYER_ROLES[layer], color=SOFT, anchor="end"))
    parts.append(text(16, 26, "An import goes down, or stays in its own package.", color=SOFT))
    return document(width, 40 + (top + 1) * row + 8, "Layers and packages of egress", parts)


LANES = ("client", "client connection", "transaction", "gate", "resolver", "tunneling agent", "origin", "audit log")

# From, to and what is sent, by lane number; from a lane to itself is a step that the part takes alone.
LIFE: tuple[tuple[int, int, str], ...] = (
    (0, 1, "request head"),
    (1, 1, "parse; identify the client"),
    (1, 2, "request"),
    (2, 3, "admit(request)"),
    (3, 3, "own destination? policies by name; upstream; guard by name"),
    (3, 4, "resolve(name)"),
    (4, 3, "addresses"),
    (3, 3, "own address? guard and policies by address; settle route"),
    (3, 2, "Admission"),
    (2, 5, "connect(route)"),
    (5, 6, "TCP; CONNECT and TLS at each hop"),
    (5, 2, "origin connection"),
    (2, 0, "200, for CONNECT"),
    (0, 1, "ClientHello"),
    (1, 1, "server name is the judged host?"),
    (0, 6, "bytes, both ways, with half-close"),
    (2, 7, "one line at the end"),
)


def draw_life(lanes: Sequence[str], steps: Sequence[tuple[int, int, str]]) -> str:
    """Draw steps between lanes, from the top down."""
    step, left, gap = 32, 76, 132
    height = 66 + len(steps) * step + 20
    at = [left + number * gap for number in range(len(lanes))]
    parts = []
    for x, lane in zip(at, lanes, strict=True):
        parts += [
            path([(x, 44), (x, height - 10)], is_arrow=False, is_dashed=True),
            box(x - 62, 14, 124, 30, MARK if lane == "gate" else FILL),
            text(x, 33, lane, anchor="middle"),
        ]
    for number, (source, target, words) in enumerate(steps, 1):
        y = 50 + number * step
        label = f"{number}  {words}"
        across = len(label) * CHARACTER
        if source == target:
            drawn = box(at[source] - 5, y - 12, 10, 22, "white")
            x, anchor = at[source] + 12, "start"
            if x + across > at[-1] + 62:
                x, anchor = at[source] - 12, "end"
            y_text = y + 4
        else:
            drawn = path([(at[source], y), (at[target], y)])
            x, anchor = min(at[source], at[target]) + 8, "start"
            y_text = y - 5
        start = x if anchor == "start" else x - across
        ground = f'<rect x="{start - 2:g}" y="{y_text - 11:g}" width="{across:g}" height="14" fill="white"/>'
        parts += [ground, text(x, y_text, label, anchor=anchor), drawn]
    return document(left * 2 + gap * (len(lanes) - 1), height, "The life of a request", parts)


def draw_states(title: str, table: Mapping[str, Mapping[str, str]]) -> str:
    """Draw a transition table: the states from the top down, transitions downwards on the right, back on the left.

    Args:
        title: what the machine is.
        table: for each state, in the order of the picture, each event and the state that follows. A state without
            events is final.
    """
    states = list(table)
    order = {state: number for number, state in enumerate(states)}
    port = 20
    exits: dict[str, tuple[list[tuple[str, str]], list[tuple[str, str]]]] = {}
    for state, events in table.items():
        merged: dict[str, list[str]] = {}
        for event, target in events.items():
            merged.setdefault(target, []).append(event)
        down: list[tuple[str, str]] = []
        back: list[tuple[str, str]] = []
        for target, names in merged.items():
            side = down if order[target] > order[state] else back
            side += [(target, line) for line in _lines(names)]
        exits[state] = down, back
    widest = [
        max((len(words) for state in states for _, words in exits[state][side]), default=0) * CHARACTER
        for side in (0, 1)
    ]
    lanes = [
        {target: number for number, target in enumerate(dict.fromkeys(t for s in states for t, _ in exits[s][side]))}
        for side in (0, 1)
    ]
    across = max(len(state) for state in states) * CHARACTER * 14 / 12 + 32
    left = 24 + (widest[1] + 16 + len(lanes[1]) * 14 if lanes[1] else 0)
    edges = (left + across, left)
    parts, y, entries = [], 24.0, {}
    heights = {state: 30 + port * max(1, *(len(side) for side in exits[state])) for state in states}
    tops = {}
    for state in states:
        tops[state] = y
        entries[state] = y + 12
        y += heights[state] + 22
    for side, sign in ((0, 1), (1, -1)):
        for state in states:
            drawn: set[str] = set()
            for number, (target, words) in enumerate(exits[state][side]):
                line = tops[state] + 36 + number * port
                lane = edges[side] + sign * (widest[side] + 18 + lanes[side][target] * 14)
                anchor, x = ("start", edges[side] + 8) if side == 0 else ("end", edges[side] - 8)
                parts.append(text(x, line - 4, words, anchor=anchor))
                if target in drawn:
                    continue
                drawn.add(target)
                entry = entries[target]
                parts.append(path([(edges[side], line), (lane, line), (lane, entry), (edges[side] + sign * 2, entry)]))
    for state in states:
        fill = FILL if table[state] else GRAVE
        parts += [
            box(left, tops[state], across, heights[state], fill),
            text(left + across / 2, tops[state] + heights[state] / 2 + 5, state, size=14, anchor="middle"),
        ]
    width = edges[0] + (widest[0] + 18 + len(lanes[0]) * 14 if lanes[0] else 0) + 24
    return document(width, y + 4, title, parts)


def _lines(names: Sequence[str]) -> list[str]:
    """Put the names of events together in lines of at most 44 characters, where one is not longer."""
    lines: list[str] = []
    for name in names:
        if lines and len(lines[-1]) + len(name) < 42:
            lines[-1] += f", {name}"
        else:
            lines.append(name)
    return lines


def pictures() -> dict[str, str]:
    """Draw every picture: its file's name and its text."""
    sys.path.insert(0, str(ROOT))
    from egress.proxy.states import CLIENT_CONNECTION, EXCHANGE, TRANSACTION, TUNNEL, TUNNEL_INSPECTION
    from tests.test_layers import LAYERS

    return {
        "layers.svg": draw_layers(LAYERS),
        "request.svg": draw_life(LANES, LIFE),
        "states-client-connection.svg": draw_states("The states of a client connection", CLIENT_CONNECTION),
        "states-transaction.svg": draw_states("The states of a transaction", TRANSACTION),
        "states-exchange.svg": draw_states("The states of an exchange", EXCHANGE),
        "states-tunnel-inspection.svg": draw_states("The states of the inspection of a tunnel", TUNNEL_INSPECTION),
        "states-tunnel.svg": draw_states("The states of an open tunnel", TUNNEL),
    }


if __name__ == "__main__":
    for name, drawn in pictures().items():
        (PICTURES / name).write_text(drawn, "utf-8")
