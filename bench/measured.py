"""Measures several proxies in interleaved rounds, and keeps the medians."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
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
    """Measure every place in every mode, that many times, each round in another order.

    Args:
        places: NAME to HOST:PORT:PID.
        modes: words of bench.MODES; `verify` is measured in the first round only.
        base: the first of the origin's ports.
        headers: NAME to a header line that its requests carry.

    Returns:
        The medians, by mode and then by name, with "KEY low" and "KEY high" beside each KEY; what failed is left out.
    """
    got: dict[str, dict[str, list[Figures]]] = {mode: {} for mode in modes}
    named = list(places.items())
    for run in range(runs):
        turn = run % len(named)
        for mode in modes:
            if mode == "verify" and run:
                continue
            for name, place in named[turn:] + named[:turn]:
                args = SimpleNamespace(
                    bin=str(HERE / "bin"),
                    base=base,
                    zbase=0,
                    targets=8,
                    cpu=LOAD_CORE,
                    secs=secs,
                    header=(headers or {}).get(name, ""),
                )
                figures = bench.measure(name, place, mode, args)
                if "failed" in figures:
                    print(f"{mode} of {name}: {figures['failed']}", file=sys.stderr)
                else:
                    got[mode].setdefault(name, []).append(figures)
        print(f"round {run + 1} of {runs}", file=sys.stderr, flush=True)
    return {mode: {name: _medians(each) for name, each in names.items()} for mode, names in got.items()}


def _medians(each: Sequence[Figures]) -> Figures:
    keys = [key for key, value in each[0].items() if isinstance(value, int | float)]
    figures: Figures = {}
    for key in keys:
        values = [one[key] for one in each if key in one]
        figures |= {key: statistics.median(values), f"{key} low": min(values), f"{key} high": max(values)}
    return figures
