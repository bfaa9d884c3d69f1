"""Runs the soak: good clients beside misbehaving ones, while configurations and log files change.

    python bench/soak.py [--seconds N] [--seed N]

The exit status is 0 if every octet, every line of the audit log and the process itself were as they must be.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.live.soak.report import Plan, Report
from tests.live.soak.run import Soak


def _rows(report: Report) -> list[tuple[str, str]]:
    start, warm, end = report.start, report.warm, report.end
    return [
        ("requests of good clients", f"{report.good.total():,}: {_counted(report.good)}"),
        ("octets that they compared", f"{report.checked_bytes:,}"),
        ("actions of misbehaving clients", f"{report.misbehaved.total():,} of {len(report.misbehaved)} kinds"),
        ("turns of costly clients", f"{report.costly.total():,} of {len(report.costly)} kinds"),
        ("reloads, and refused ones", f"{report.reloads[0]:,}, {report.reloads[1]:,}"),
        ("requests in the audit log", f"{report.requests:,} in {report.files:,} files, {report.log_bytes >> 20:,} MiB"),
        ("lines by event", _counted(report.events)),
        ("lines compared with what their clients know", f"{report.matched:,}"),
        ("descriptors when warm and at the end", f"{warm.descriptors.total()}, {end.descriptors.total()}"),
        ("threads when warm and at the end", f"{warm.threads}, {end.threads}"),
        (
            "RSS MiB at the start, when warm, at the end; most",
            f"{_mib(start.rss_bytes)}, {_mib(warm.rss_bytes)}, {_mib(end.rss_bytes)}; {_mib(report.peak_bytes)}",
        ),
        ("faults", str(len(report.faults))),
    ]


def _counted(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counted.most_common())


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f}"


def main() -> int:
    """Run it, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800.0, help="how long the soak is, after the warm-up; 1800")
    parser.add_argument("--warm-seconds", type=float, default=60.0, help="how long the warm-up is; 60")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the seed of all that is chosen")
    parser.add_argument("--good", type=int, default=8, help="how many clients behave; 8")
    parser.add_argument("--misbehaving", type=int, default=16, help="how many do not; 16")
    words = parser.parse_args()
    if os.geteuid():
        parser.error("only root can see the descriptors of the proxy")
    plan = Plan(
        words.seconds, words.warm_seconds, words.seed, good_clients=words.good, misbehaving_clients=words.misbehaving
    )
    print(f"seed {words.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="egress-soak-") as directory:
        report = Soak(plan, Path(directory), lambda line: print(line, flush=True)).run()
    for name, value in _rows(report):
        print(f"| {name} | {value} |")
    for fault in report.faults:
        print(fault)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
