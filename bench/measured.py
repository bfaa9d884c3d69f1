"""Measures several proxies in interleaved rounds, and keeps the medians."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

from started import HERE, LOAD_CORE

import bench

Figures = dict[str, float]


def rounds(
    places: Mapping[str, str],
    modes: Sequence[str],
    *,
    base: int,
    runs: int,
    secs: float,
    headers: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Figures]]:
    """Measure every proxy in every mode, with a number of rounds, each in another order.

    Args:
        places: the proxies, NAME to HOST:PORT:PID.
        modes: words of bench.MODES; `verify` is measured in the first round only.
        base: the first of the origin's ports.
        headers: NAME to a header line of its requests.

    Returns:
        The medians, by mode and then by name, with "KEY low" and "KEY high" beside each KEY; failed measurements are
        left out.
    """
    got: dict[str, dict[str, list[Figures]]] = {mode: {} for mode in modes}
    named = list(places.items())
    # A proxy may have work left after its load, and all share a core, so the other proxies are stopped.
    for place in places.values():
        _send(place, signal.SIGSTOP)
    try:
        for run in range(runs):
            turn = run % len(named)
            for mode in modes:
                if mode == "verify" and run:
                    continue
                for name, place in named[turn:] + named[:turn]:
                    args = _arguments(base, secs, (headers or {}).get(name, ""))
                    _send(place, signal.SIGCONT)
                    figures = bench.measure(name, place, mode, args)
                    _settle(place)
                    _send(place, signal.SIGSTOP)
                    if "failed" in figures:
                        print(f"{mode} of {name}: {figures['failed']}", file=sys.stderr)
                    else:
                        if figures["errors"]:
                            print(f"{mode} of {name}: {figures['errors']} errors", file=sys.stderr)
                        got[mode].setdefault(name, []).append(figures)
            print(f"round {run + 1} of {runs}", file=sys.stderr, flush=True)
    finally:
        for place in places.values():
            _send(place, signal.SIGCONT)
    return {mode: {name: _medians(each) for name, each in names.items()} for mode, names in got.items()}


def _arguments(base: int, secs: float, header: str) -> SimpleNamespace:
    return SimpleNamespace(
        bin=str(HERE / "bin"), base=base, zbase=0, targets=8, cpu=LOAD_CORE, secs=secs, header=header
    )


def _family(place: str) -> list[int]:
    return bench.descendants(int(place.rsplit(":", 1)[1]))  # type: ignore[no-any-return]


def _send(place: str, number: signal.Signals) -> None:
    for pid in _family(place):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _settle(place: str) -> None:
    """Wait until a proxy is idle, for two seconds at most."""
    ends = time.monotonic() + 2
    while time.monotonic() < ends:
        before = sum(map(ticks, _family(place)))
        time.sleep(0.15)
        if sum(map(ticks, _family(place))) - before <= 1:
            return


def ticks(pid: int) -> int:
    """Read the CPU time of a process, in hundredths of a second."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _medians(each: Sequence[Figures]) -> Figures:
    # Without a completed operation there is no latency.
    each = [
        {key: value for key, value in one.items() if one.get("per_s") != 0 or key not in ("p50_us", "p99_us")}
        for one in each
    ]
    keys = dict.fromkeys(key for one in each for key, value in one.items() if isinstance(value, int | float))
    figures: Figures = {}
    for key in keys:
        values = [one[key] for one in each if key in one]
        figures |= {key: statistics.median(values), f"{key} low": min(values), f"{key} high": max(values)}
    return figures
