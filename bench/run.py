#!/usr/bin/env python3
"""Measure the shipped egress against other proxies and its goals.

    make bench ARGS="--only peers --peers squid,haproxy --runs 5"

Prints tables, and writes the tables and plots into docs/ (or elsewhere). Every started process is ended. `--only
profile` prints a profile, which is not part of the tables.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import compared
import crowd
import growth
import plot
import profiled
import variants
from started import HERE, Session

_PARTS = ("peers", "variants", "growth", "crowd")
_PROFILE = "profile"


def main() -> None:
    """Run the requested measurements, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=",".join(compared.PROGRAMS), help="which of them, with commas")
    parser.add_argument("--runs", type=int, default=3, help="rounds")
    parser.add_argument("--secs", type=float, default=1.5, help="seconds of each figure in each round")
    parser.add_argument("--only", choices=(*_PARTS, _PROFILE), action="append", help="may be given more than once")
    parser.add_argument("--python", type=Path, default=HERE.parent / ".venv" / "bin" / "python")
    parser.add_argument(
        "--docs", type=Path, default=HERE.parent / "docs" / "explanation", help="for performance.md and plots"
    )
    parser.add_argument("--kept", action="store_true", help="measure nothing, write what bin/PART.json has once more")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    peers = [name for name in args.peers.split(",") if name]
    if unknown := [name for name in peers if name not in compared.PROGRAMS]:
        parser.error(f"unknown peers: {', '.join(unknown)}")
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("two cores are needed: one for the proxy, one for load and origin")
    for part in args.only or _PARTS:
        if args.kept:
            kept = json.loads((HERE / "bin" / f"{part}.json").read_text())
            _show(part, kept.pop("told"), kept, args.docs)
            continue
        with Session(args.python.parent / "twistd") as session:
            if part == "peers":
                result = compared.measure(session, peers, args.runs, args.secs)
            elif part == "variants":
                result = variants.measure(session, args.python, args.runs, args.secs)
            elif part == "growth":
                result = growth.measure(session, args.runs, args.secs)
            elif part == _PROFILE:
                result = profiled.measure(session, list(profiled.MODES), args.secs)
            else:
                result = crowd.measure(session, 2 * args.secs)
        told = _told(part, args)
        kept = {"told": told, **result}
        (HERE / "bin" / f"{part}.json").write_text(json.dumps(kept, indent=1) + "\n")
        _show(part, told, result, args.docs)


def _told(part: str, args: argparse.Namespace) -> str:
    """Describe the time, the machine and the method of the measurement."""
    asks = "import sysconfig; print(sysconfig.get_python_version(), sysconfig.get_config_var('CONFIG_ARGS'))"
    done = subprocess.run([str(args.python), "-c", asks], capture_output=True, text=True, check=True)
    version = done.stdout.split()[0]
    guided = "with" if "--enable-optimizations" in done.stdout else "without"
    load = os.getloadavg()[0]
    peers = f" --peers {args.peers}" if part == "peers" else ""
    runs = f" --runs {args.runs}" if part != _PROFILE else ""
    options = f"--only {part}{peers}{runs} --secs {args.secs:g}"
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f'{datetime.date.today()}, `make bench ARGS="{options}"`, Linux {kernel}, {os.cpu_count()} cores, '
        f"Python {version} built {guided} profile-guided optimisation; load average {load:.1f} at the end."
    )


def _show(part: str, told: str, result: dict[str, Any], docs: Path) -> None:
    if part == _PROFILE:
        print(f"{told}\n\n{profiled.text(result, markdown)}", flush=True)
        return
    docs.mkdir(parents=True, exist_ok=True)
    if part == "peers":
        rows, shares = compared.table(result)
        (docs / "performance.svg").write_text(plot.shares("How many times each goal is reached", shares))
        (docs / "peers.svg").write_text(compared.drawing(result))
        body = markdown(rows)
    elif part == "variants":
        body = markdown(variants.table(result)) + "\n" + markdown(variants.names_table(result))
    elif part == "growth":
        (docs / "growth.svg").write_text(growth.drawing(result))
        halves = (growth.table(result["rules"], "rules"), growth.table(result["tunnels"], "open tunnels"))
        body = markdown(halves[0]) + "\n" + markdown(halves[1])
    else:
        body = markdown(crowd.table(result))
    text = f"{told}\n\n{body}"
    print(text, flush=True)
    page = docs / "performance.md"
    if page.exists():
        page.write_text(between(page.read_text(), part, text))


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Make a Markdown table; the first row is the head."""
    lines = [" | ".join(row) for row in (rows[0], ["---"] * len(rows[0]), *rows[1:])]
    return "".join(f"| {line} |\n" for line in lines)


def between(page: str, part: str, text: str) -> str:
    """Replace the text between a page's two marks of a name."""
    head, opening, rest = page.partition(f"<!-- {part} -->\n")
    _, closing, tail = rest.partition(f"<!-- end of {part} -->")
    if not closing:
        raise SystemExit(f"the page has no marks for {part}")
    return f"{head}{opening}{text}{closing}{tail}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
