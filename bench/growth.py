"""Measures the cost of a connection for growing numbers of rules and open tunnels."""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import Any

import plot
from configured import of_rules, shipped
from measured import Figures, rounds
from started import HERE, LOAD_CORE, Session

_RULES = (10, 100, 1_000, 10_000)
_TUNNELS = (1, 100, 1_000, 10_000)
_SPARE = 400
_MODES = {"connect": "a CONNECT", "http": "a plain request", "ping64": "a message"}


def measure(session: Session, runs: int, secs: float) -> dict[str, object]:
    """Measure both, each size in its own process and all in turn."""
    by_rules = {str(count): session.egress(f"rules-{count}", of_rules(session.base, count)) for count in _RULES}
    got = rounds(by_rules, ["connect", "http"], base=session.base, runs=runs, secs=secs)
    rules = _costs(got)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    by_tunnels: dict[str, str] = {}
    holders = []
    for count in _TUNNELS:
        # Two descriptors for each tunnel, and some for the measured connections.
        open_ = min(count, (most - _SPARE) // 2)
        if open_ < count:
            print(f"{most} descriptors are allowed: {open_} tunnels in place of {count}", file=sys.stderr)
        limits = "[limits]\nconnections = 20000\nconnections_per_client = 20000\n"
        place = session.egress(f"tunnels-{count}", shipped(session.base, more=limits))
        proxy, pid = place.rsplit(":", 1)
        command = [str(HERE / "bin" / "load"), "idle", "-c", str(open_), "-d", "900", "-S", "8", "-T", "8"]
        holders.append(session.start([*command, "-t", f"127.0.0.1:{session.base + 1}", "-x", proxy], LOAD_CORE))
        _opened(int(pid), 2 * open_)
        by_tunnels[str(open_)] = place
    got = rounds(by_tunnels, list(_MODES), base=session.base, runs=runs, secs=secs)
    for holder in holders:
        session.end(holder)
    return {"rules": rules, "tunnels": _costs(got)}


def _costs(got: dict[str, dict[str, Figures]]) -> dict[str, dict[str, list[float]]]:
    """Return the CPU time of an operation: median, minimum and maximum."""
    keys = [f"cpu_us_per_op{end}" for end in ("", " low", " high")]
    return {mode: {name: [figures[key] for key in keys] for name, figures in got[mode].items()} for mode in got}


def _opened(pid: int, descriptors: int) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        if len(os.listdir(f"/proc/{pid}/fd")) >= descriptors:
            return
        time.sleep(0.2)
    raise RuntimeError("the tunnels were not opened within a minute")


def table(figures: dict[str, dict[str, list[float]]], what: str) -> list[list[str]]:
    """Make the rows: one for each size, in CPU us and relative to the first size."""
    rows = [[what, *(head for mode in figures for head in (f"CPU us {_MODES[mode]}", "ratio"))]]
    sizes = list(next(iter(figures.values())))
    for size in sizes:
        cells = [f"{int(size):,}"]
        for costs in figures.values():
            cost, first = costs[size][0], costs[sizes[0]][0]
            cells += [f"{cost:.0f}", f"{cost / first:.2f}"]
        rows.append(cells)
    return rows


def drawing(result: dict[str, Any]) -> str:
    """Draw both on one scale."""
    top = 1.15 * max(
        high for what in ("rules", "tunnels") for costs in result[what].values() for _, _, high in costs.values()
    )
    drawn = [
        plot.lines(
            f"Growth with {what}",
            label,
            "CPU us",
            {
                _MODES[mode]: [(float(size), plot.Measured(*cost)) for size, cost in costs.items()]
                for mode, costs in result[what].items()
            },
            top=top,
        )
        for what, label in (("rules", "rules"), ("tunnels", "open tunnels"))
    ]
    return plot.table(drawn, 2)
