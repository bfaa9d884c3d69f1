#!/usr/bin/env python3
"""Compare the speed of two versions of egress in alternating rounds.

    paired.py --old DIR --new DIR [--rounds 20] [--secs 1] [--json raw.json]
    paired.py --old COMMIT --new COMMIT --trees DIR

Each round starts both versions afresh, each with its own `.venv` and its own `bench/egress.toml`. In every mode both
are under load at once and take turns of 50 ms: while one version works, the other is stopped with SIGSTOP, so that
both meet every change of the machine's speed. The version with the first turn changes from round to round. Rates are
per second in which the version may work. The measuring code beside this file is used for both versions.

The table has the median of the paired ratios new/old of all rounds. Its 95 % interval is the binomial order-statistic
interval of the median: of 20 rounds, the 6th to the 15th of the sorted ratios. It covers the median with a probability
of 95.9 %, whatever the distribution of the ratios. A round with an error of either version is left out of that row.

A rate has held if its median ratio is at least 0.97, or if the interval includes 0.97 and the CPU time of the operation
rose by at most 3 %. A cost (CPU time, memory) has held if its median ratio is at most 1.03.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import math
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from checkout import Checkout, CheckoutError, make_checkout, open_checkout
from measured import Figures
from run import markdown
from started import HERE, LOAD_CORE, Session

import bench

# The least number of ratios of which the smallest and the largest are a 95 % interval of the median.
_FEWEST = 6
_LEAST_RATE, _MOST_COST = 0.97, 1.03
_IDLE = "idle of a round"
# Memory is first, because a process that has worked before would reuse part of its memory.
_MODES = (_IDLE, "connect", "http", "ping64")
_TURN_SECONDS = 0.05
# Latencies are left out: they include the turns of the other version.
_RATES = ("per_s", "cpu_share")
_KEPT = (*_RATES, "ops", "cpu_us_per_op", "kib_per_tunnel", "rss_mib", "errors")
# Mode, then side ("old" or "new"), then key.
Round = dict[str, dict[str, Figures]]


class Figure(NamedTuple):
    """One row of the table.

    Attributes:
        name: the name in the table, with the unit.
        mode: the mode of bench.py.
        key: the key of the figure in the mode.
        is_cost: whether less is better.
    """

    name: str
    mode: str
    key: str
    is_cost: bool = False


class Comparison(NamedTuple):
    """One figure over all rounds.

    Attributes:
        old: the median of the old version.
        new: the median of the new version.
        ratio: the median of the rounds' ratios new/old.
        low: the lower end of the ratio's 95 % interval.
        high: the upper end of the interval.
        rounds: the number of rounds that measured both versions without an error.
    """

    old: float
    new: float
    ratio: float
    low: float
    high: float
    rounds: int


FIGURES = (
    Figure("CONNECT/s", "connect", "per_s"),
    Figure("CPU us a CONNECT", "connect", "cpu_us_per_op", is_cost=True),
    Figure("plain HTTP requests/s", "http", "per_s"),
    Figure("CPU us a plain request", "http", "cpu_us_per_op", is_cost=True),
    Figure("64 ping-pongs, messages/s", "ping64", "per_s"),
    Figure("CPU us a message", "ping64", "cpu_us_per_op", is_cost=True),
    Figure("KiB an idle tunnel", _IDLE, "kib_per_tunnel", is_cost=True),
)


def measure(sides: Mapping[str, Checkout], count: int, secs: float, tunnels: int) -> list[Round]:
    """Measure both checkouts in a number of rounds.

    Args:
        sides: "old" and "new".
        count: the number of rounds.
        secs: seconds that each version works in each measurement, after a quarter of a second of warming up.
        tunnels: the number of idle tunnels for the measurement of memory.
    """
    bench.MODES[_IDLE] = ("idle", 1, ["-c", str(tunnels), "-d", "0.5"], "kib_per_tunnel")
    got: list[Round] = []
    with contextlib.ExitStack() as stack:
        sessions = {side: stack.enter_context(Session(checkout.twistd)) for side, checkout in sides.items()}
        # Both versions use the origin of one session; the other session's origin is idle.
        base = sessions["old"].base
        texts = {side: checkout.configuration(base) for side, checkout in sides.items()}
        for number in range(count):
            order = list(sides)[:: -1 if number % 2 else 1]
            places = {side: sessions[side].egress(f"{side}-{number}", texts[side]) for side in order}
            got.append({mode: _in_turns(places, mode, base, secs) for mode in _MODES})
            for side, place in places.items():
                sessions[side].stop(place)
            print(f"round {number + 1} of {count}, {order[0]} first", file=sys.stderr, flush=True)
    return got


def _in_turns(places: Mapping[str, str], mode: str, base: int, secs: float) -> dict[str, Figures]:
    """Put both proxies under load at once in one mode, while only one of them runs at a time.

    Args:
        places: side to HOST:PORT:PID; the first has the first turn.
        mode: a word of bench.MODES.
        base: the first of the origin's ports.
        secs: the seconds that each of them runs.

    Returns:
        The figures of each side. Failed figures are left out.
    """
    wall = len(places) * secs
    args = SimpleNamespace(bin=str(HERE / "bin"), base=base, zbase=0, targets=8, cpu=LOAD_CORE, secs=wall, header="")
    # Each proxy leads a process group of its own.
    groups = [int(place.rsplit(":", 1)[1]) for place in places.values()]
    with ThreadPoolExecutor(len(places)) as pool:
        loads = {side: pool.submit(bench.measure, side, place, mode, args) for side, place in places.items()}
        try:
            _take_turns(groups, loads.values())
        finally:
            for group in groups:
                os.killpg(group, signal.SIGCONT)
    # Both complete the rest of their load.
    time.sleep(0.3)
    got: dict[str, Figures] = {}
    for side, load in loads.items():
        figures = load.result()
        if wrong := figures.get("failed") or (figures["errors"] and f"{figures['errors']} errors"):
            print(f"{mode} of {side}: {wrong}", file=sys.stderr)
        if "failed" not in figures:
            kept = {key: value for key, value in figures.items() if key in _KEPT}
            # The load generator divides by the time of both.
            got[side] = {key: value * len(places) if key in _RATES else value for key, value in kept.items()}
    return got


def _take_turns(groups: Sequence[int], loads: Collection[Future[Any]]) -> None:
    """Run the process groups one at a time, until all loads are done."""
    begun, turns = time.monotonic(), 0
    for group in groups[1:]:
        os.killpg(group, signal.SIGSTOP)
    while not all(load.done() for load in loads):
        turns += 1
        # Counted from the start, so that one late turn does not delay all others.
        time.sleep(max(0, begun + turns * _TURN_SECONDS - time.monotonic()))
        os.killpg(groups[(turns - 1) % len(groups)], signal.SIGSTOP)
        os.killpg(groups[turns % len(groups)], signal.SIGCONT)


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Find the binomial order-statistic interval of the median, with a coverage of at least 95 %.

    Args:
        ratios: at least six.

    Returns:
        The k-th smallest and the k-th largest of them, for the largest k with which each end is on the wrong side of
        the median with a probability of at most 2.5 %.
    """
    count, cut, less = len(ratios), 0, 0
    while (less + math.comb(count, cut)) / 2**count <= 0.025:
        less += math.comb(count, cut)
        cut += 1
    if not cut:
        raise ValueError(f"{count} ratios are too few for a 95 % interval")
    ordered = sorted(ratios)
    return ordered[cut - 1], ordered[-cut]


def compare(got: Sequence[Round]) -> dict[str, Comparison]:
    """Compare every figure by its name. A figure with too few measured rounds is left out."""
    result: dict[str, Comparison] = {}
    for figure in FIGURES:
        pairs = []
        for one in got:
            both = [one.get(figure.mode, {}).get(side, {}) for side in ("old", "new")]
            values = [each[figure.key] for each in both if each.get(figure.key) and not each["errors"]]
            if len(values) == 2:
                pairs.append((values[0], values[1]))
        if len(pairs) >= _FEWEST:
            ratios = [new / old for old, new in pairs]
            olds, news = zip(*pairs, strict=True)
            old, new, ratio = map(statistics.median, (olds, news, ratios))
            result[figure.name] = Comparison(old, new, ratio, *interval(ratios), len(pairs))
    return result


def has_held(figure: Figure, result: Mapping[str, Comparison]) -> bool:
    """Whether a figure has held, by the rule at the top of this file."""
    got = result[figure.name]
    if figure.is_cost:
        return got.ratio <= _MOST_COST
    if got.ratio >= _LEAST_RATE:
        return True
    costs = [result[cost.name] for cost in FIGURES if cost.is_cost and cost.mode == figure.mode and cost.name in result]
    return got.low <= _LEAST_RATE <= got.high and bool(costs) and all(cost.ratio <= _MOST_COST for cost in costs)


def table(result: Mapping[str, Comparison]) -> list[list[str]]:
    """Make the rows of the table."""
    rows = [["figure", "old", "new", "new/old", "95 % interval", "rounds", "held"]]
    for figure in FIGURES:
        if got := result.get(figure.name):
            values = [f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" for value in (got.old, got.new)]
            cells = [f"{got.ratio:.3f}", f"{got.low:.3f}..{got.high:.3f}", str(got.rounds)]
            rows.append([figure.name, *values, *cells, "yes" if has_held(figure, result) else "no"])
        else:
            rows.append([figure.name, "-", "-", "-", "-", f"fewer than {_FEWEST}", "not measured"])
    return rows


def _described(sides: Mapping[str, Checkout], args: argparse.Namespace) -> str:
    versions = "; ".join(
        f"{side}: {one.commit}, Python {one.python}, Twisted {one.twisted}" for side, one in sides.items()
    )
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f"{datetime.date.today()}, {versions}; --rounds {args.rounds} --secs {args.secs:g} --tunnels {args.tunnels}, "
        f"Linux {kernel}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end."
    )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", required=True, help="a directory with a .venv, or a commit")
    parser.add_argument("--new", required=True, help="a directory with a .venv, or a commit")
    parser.add_argument("--trees", type=Path, help="where checkouts of commits are made, and kept")
    parser.add_argument("--rounds", type=int, default=20, help="an even number gives each version as many first turns")
    parser.add_argument("--secs", type=float, default=1, help="seconds that each version works in each measurement")
    parser.add_argument("--tunnels", type=int, default=4000, help="idle tunnels of each version")
    parser.add_argument("--json", type=Path, help="where the figures of every round are written")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # The path would precede the egress of either environment.
    os.environ.pop("PYTHONPATH", None)
    if args.rounds < _FEWEST:
        parser.error(f"at least {_FEWEST} rounds are needed for a 95 % interval")
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("two cores are needed: one for the proxy, one for load and origin")
    try:
        sides: dict[str, Checkout] = {}
        for side, named in (("old", args.old), ("new", args.new)):
            if Path(named).is_dir():
                sides[side] = open_checkout(Path(named))
            elif args.trees:
                sides[side] = make_checkout(named, args.trees)
            else:
                parser.error(f"{named} is no directory; a commit needs --trees")
        got = measure(sides, args.rounds, args.secs, args.tunnels)
    except (CheckoutError, RuntimeError) as error:
        sys.exit(f"paired.py: {error}")
    result, described = compare(got), _described(sides, args)
    if args.json:
        comparisons = {name: one._asdict() for name, one in result.items()}
        written = {"described": described, "comparisons": comparisons, "rounds": got}
        args.json.write_text(json.dumps(written, indent=1) + "\n")
    print(f"{described}\n\n{markdown(table(result))}", end="")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
