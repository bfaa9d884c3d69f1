"""What a connection costs as rules and open tunnels become more."""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import Any

import plot
from configured import of_rules, shipped
from measured import rounds
from started import HERE, LOAD_CORE, Session

_RULES = (10, 100, 1_000, 10_000)
_TUNNELS = (1, 100, 1_000, 10_000)
_SPARE = 400
_MODES = {"connect": "a CONNECT", "http": "a plain request", "ping64": "a message"}


def measure(session: Session, runs: int, secs: float) -> dict[str, object]:
    """Measure both, each size in a process of its own and all in turn."""
    by_rules = {str(count): session.egress(f"rules-{count}", of_rules(session.base, count)) for count in _RULES}
    got = rounds(by_rules, ["connect", "http"], base=session.base, runs=runs, secs=secs)
    rules = {mode: {name: figures["cpu_us_per_op"] for name, figures in got[mode].items()} for mode in got}
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    by_tunnels: dict[str, str] = {}
    holders = []
    for count in _TUNNELS:
        # Two descriptors a tunnel, and some for what is measured beside them.
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
    tunnels = {mode: {name: figures["cpu_us_per_op"] for name, figures in got[mode].items()} for mode in got}
    return {"rules": rules, "tunnels": tunnels}


def _opened(pid: int, descriptors: int) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        if len(os.listdir(f"/proc/{pid}/fd")) >= descriptors:
            return
        time.sleep(0.2)
    raise RuntimeError("the tunnels were not opened within a minute")


def table(figures: dict[str, dict[str, float]], what: str) -> list[list[str]]:
    """Make the rows: one for each size, in CPU us and beside the first size."""
    rows = [[what, *(head for mode in figures for head in (f"CPU us {_MODES[mode]}", "ratio"))]]
    sizes = list(next(iter(figures.values())))
    for size in sizes:
        cells = [f"{int(size):,}"]
        for costs in figures.values():
            cells += [f"{costs[size]:.0f}", f"{costs[size] / costs[sizes[0]]:.2f}"]
        rows.append(cells)
    return rows


def drawing(result: dict[str, Any]) -> str:
    """Draw both."""
    drawn = [
        plot.lines(
            f"Growth with {what}",
            label,
            "CPU us",
            {
                _MODES[mode]: [(float(size), cost) for size, cost in costs.items()]
                for mode, costs in result[what].items()
            },
        )
        for what, label in (("rules", "rules"), ("tunnels", "open tunnels"))
    ]
    return plot.beside(*drawn)
