"""Compares egress with the other installed proxies and with its goals."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

from configured import shipped
from measured import Figures, rounds
from plot import Measured, bars
from plot import table as plots_in_rows
from started import Session

import bench

PROGRAMS = {
    "squid": "squid",
    "haproxy": "haproxy",
    "tinyproxy": "tinyproxy",
    "privoxy": "privoxy",
    "mitmproxy": "mitmdump",
    "proxypy": "proxy",
    "smokescreen": "smokescreen",
}
# The relay has no tunnels and judges nothing.
_DRAWN = {"haproxy": "haproxy, relay"}
_IDLE_TUNNELS = int(bench.MODES["idle"][2][1])
_MODES = ["connect", "http", "down1", "down8", "ping64", "mixed", "verify"]


class Figure(NamedTuple):
    """One line of the table.

    Attributes:
        mode: the mode of bench.py.
        key: the key of the figure.
        factor: the factor of the printed value.
        goals: PEER to the wanted multiple of the peer's figure; of costs, the largest multiple.
    """

    name: str
    mode: str
    key: str
    factor: float
    goals: dict[str, float]
    is_cost: bool = False


FIGURES = [
    Figure("CONNECT/s", "connect", "per_s", 1, {"squid": 1.2, "smokescreen": 2.2, "mitmproxy": 20}),
    Figure("CPU us a CONNECT", "connect", "cpu_us_per_op", 1, {}, is_cost=True),
    Figure("plain HTTP requests/s", "http", "per_s", 1, {"squid": 1.2, "smokescreen": 3, "mitmproxy": 25}),
    Figure("CPU us a plain request", "http", "cpu_us_per_op", 1, {}, is_cost=True),
    Figure("1 tunnel, GB/s", "down1", "GBps", 1, {"haproxy": 1.0}),
    Figure("1 tunnel, CPU s/GB", "down1", "cpu_s_per_GB", 1, {"haproxy": 1.25}, is_cost=True),
    Figure("8 tunnels, GB/s", "down8", "GBps", 1, {"haproxy": 1.0}),
    Figure("8 tunnels, CPU s/GB", "down8", "cpu_s_per_GB", 1, {"haproxy": 1.25}, is_cost=True),
    Figure("64 ping-pongs, messages/s", "ping64", "per_s", 1, {"haproxy": 0.9}),
    Figure("ping-pong beside 8 tunnels, p99 ms", "mixed", "p99_us", 1e-3, {}, is_cost=True),
    Figure("half-close with every byte, of 8", "verify", "verified", 1, {}),
]


def measure(session: Session, peers: Sequence[str], runs: int, secs: float) -> dict[str, object]:
    """Measure egress and the requested peers that are installed."""
    places = {"egress": session.egress("egress", shipped(session.base))}
    for name in peers:
        if shutil.which(PROGRAMS[name]) and (place := session.peer(name)):
            places[name] = place
    result: dict[str, object] = {"peers": [name for name in places if name != "egress"]}
    result["figures"] = rounds(places, _MODES, base=session.base, runs=runs, secs=secs)
    # In a fresh process, so that earlier modes have no effect.
    more = "[limits]\nconnections_per_client = 8192\n"
    fresh = {"egress": session.egress("idle", shipped(session.base, more=more))}
    idle = rounds(fresh, ["idle"], base=session.base, runs=1, secs=1)["idle"]
    result["idle"] = {"tunnels": _IDLE_TUNNELS, "kib": idle["egress"]["kib_per_tunnel"]}
    return result


def table(result: dict[str, Any]) -> tuple[list[list[str]], list[tuple[str, float, str]]]:
    """Make the rows of the table, and the rows of the plot: each goal, and the reached multiple."""
    peers: list[str] = result["peers"]
    rows, shares = [["figure", "egress (range)", *(f"{name} (ratio)" for name in peers), "goal", "met"]], []
    for figure in FIGURES:
        got: dict[str, Figures] = result["figures"].get(figure.mode, {})
        own = got.get("egress", {}).get(figure.key)
        if own is None:
            continue
        cells, goals, met = [], [], []
        others = {name: got.get(name, {}).get(figure.key) for name in peers}
        for other in others.values():
            ratio = f" ({own / other:.2f})" if other else ""
            cells.append("-" if other is None else _short(other * figure.factor) + ratio)
        for name, goal in figure.goals.items():
            goals.append(f"{'<=' if figure.is_cost else '>='} {goal:g} x {name}")
            if not (other := others.get(name)):
                met.append("not measured")
                continue
            share = goal * other / max(own, 1e-9) if figure.is_cost else own / other / goal
            met.append("yes" if share >= 1 else "no")
            sign = "at most" if figure.is_cost else "at least"
            shares.append((f"{figure.name}, {name}", share, f"{own / other:.2f} x {name}; {sign} {goal:g}"))
        if figure.mode == "verify":
            goals, met = ["8"], ["yes" if own == 8 else "no"]
        rows.append([figure.name, _ranged(got["egress"], figure), *cells, "; ".join(goals), "; ".join(met)])
    idle, of = result["idle"]["kib"], f"KiB an idle tunnel, {result['idle']['tunnels']:,} open"
    rows.append([of, _short(idle), *("" for _ in peers), "<= 3", "yes" if idle <= 3 else "no"])
    shares.append(("KiB an idle tunnel", 3 / max(idle, 0.1), f"{idle:.2f} KiB; at most 3"))
    return rows, shares


def drawing(result: dict[str, Any]) -> str:
    """Draw the rates of all measured proxies, each with its hardest goal."""
    drawn = []
    for figure in FIGURES:
        got: dict[str, Figures] = result["figures"].get(figure.mode, {})
        values = {
            name: Measured(*(figures[figure.key + end] for end in ("", " low", " high")))
            for name, figures in got.items()
            if figure.key in figures
        }
        if figure.is_cost or figure.mode == "verify" or "egress" not in values:
            continue
        goals = [times * values[name].median for name, times in figure.goals.items() if name in values]
        values = {_DRAWN.get(name, name): value for name, value in values.items()}
        drawn.append(bars(figure.name, "egress", values, max(goals, default=None)))
    return plots_in_rows(drawn, 2)


def _ranged(figures: Figures, figure: Figure) -> str:
    low, middle, high = (_short(figures[figure.key + end] * figure.factor) for end in (" low", "", " high"))
    return middle if low == high else f"{middle} ({low}..{high})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
