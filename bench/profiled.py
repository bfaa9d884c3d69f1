#!/usr/bin/env python3
"""Measure the cost of one operation: its calls by module, its CPU time and its system calls.

    profiled.py [--python ../.venv/bin/python] [--secs 2] [--modes connect,http,ping64] > after.md

The number of operations is fixed, so that numbers of calls are exact even on a busy machine. The profile is the
difference between a short run and a long one, each of a fresh process: start and end are in both.
"""

from __future__ import annotations

import argparse
import json
import os
import pstats
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from configured import shipped
from started import HERE, LOAD_CORE, Session

import bench

MODES = {"connect": "a CONNECT", "http": "a plain request", "ping64": "a message"}
# The smallest number of operations in a second under cProfile.
_PACES = {"connect": 1_000, "http": 2_000, "ping64": 10_000}
_FUNCTIONS = 15
# The function's file, line and name.
Function = tuple[str, int, str]
_SOCKETS = re.compile(r"of '(_socket\.socket|select\.)|_socket\.|posix\.(read|write|splice|close)\b")


def measure(session: Session, modes: Sequence[str], secs: float) -> dict[str, object]:
    """Profile every mode, and then measure it without the profiler."""
    result: dict[str, object] = {}
    for mode in modes:
        figures = _profile(session, mode, secs)
        place = session.egress(f"{mode}-plain", shipped(session.base))
        figures |= _cpu(session, place, mode, secs)
        if shutil.which("strace"):
            figures |= _calls_of_the_kernel(session, place, mode)
        else:
            print("strace is not installed: system calls are not counted", file=sys.stderr)
        session.stop(place)
        result[mode] = figures
        print(f"profile of {mode} done", file=sys.stderr, flush=True)
    return result


def _load(session: Session, place: str, mode: str, ops: int) -> float:
    """Run a number of operations of one mode.

    Returns:
        The number of operations in a second.
    """
    kind, offset, options, _ = bench.MODES[mode]
    proxy = place.rsplit(":", 1)[0]
    command = ["taskset", "-c", LOAD_CORE, str(HERE / "bin" / "load"), kind, "-t", f"127.0.0.1:{session.base + offset}"]
    command += ["-x", proxy, "-S", "8", "-T", "8", "-w", "0", "-d", "120", "-k", str(ops), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=150)
    got = json.loads(done.stdout)
    if got["errors"] or got["ops"] != ops:
        raise RuntimeError(f"{mode}: {got['ops']} of {ops} operations, {got['errors']} errors")
    # The last connections are still being closed.
    time.sleep(0.3)
    return float(got["per_s"])


def _profile(session: Session, mode: str, secs: float) -> dict[str, Any]:
    def run(name: str, ops: int) -> dict[Function, list[float]]:
        kept = session.directory / f"{mode}-{name}.prof"
        options = ["--profile", str(kept), "--profiler", "cprofile", "--savestats"]
        place = session.egress(f"{mode}-{name}", shipped(session.base), options=options)
        _load(session, place, mode, ops)
        session.stop(place)
        seen: dict[Function, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for (path, line, name), (_, *figures, _) in pstats.Stats(str(kept)).stats.items():  # type: ignore[attr-defined]
            # Some built-ins are named by their address, which differs between processes.
            had = seen[path, line, re.sub(r" at 0x\w+", "", name)]
            had[:] = [one + other for one, other in zip(had, figures, strict=True)]
        return seen

    ops, few = int(secs * _PACES[mode]), _PACES[mode] // 4
    before, after = run("short", few), run("long", few + ops)
    modules: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    functions: list[tuple[str, float, float, float]] = []
    python = native = 0.0
    for (path, line, name), figures in after.items():
        calls, own, whole = (
            late - early for late, early in zip(figures, before.get((path, line, name), (0.0, 0.0, 0.0)), strict=True)
        )
        count, spent, forwarding = calls / ops, 1e6 * own / ops, 1e6 * whole / ops
        if path == "~":
            native += count
        else:
            python += count
        # The waiting time is left out, because most of it is before the load.
        if "'poll' of 'select." not in name:
            module = modules[_module(path, name)]
            module[0] += count
            module[1] += spent
            functions.append((_label(path, line, name), count, spent, forwarding))
    functions.sort(key=lambda one: -one[2])
    return {
        "ops": ops,
        "python": python,
        "native": native,
        "modules": dict(sorted(modules.items(), key=lambda one: -one[1][1])),
        "functions": functions[:_FUNCTIONS],
    }


def _module(path: str, name: str) -> str:
    """Return the owner of a function: a package of egress, a library, or "built in"."""
    if path == "~":
        return "sockets, files, epoll" if _SOCKETS.search(name) else "other built-ins"
    if "/site-packages/" in path:
        return path.rpartition("/site-packages/")[2].split("/")[0]
    if "/egress/" in path:
        return "egress/" + path.rpartition("/egress/")[2].split("/")[0]
    return "made at run time" if path.startswith("<") else "standard library"


def _label(path: str, line: int, name: str) -> str:
    if path == "~":
        return name.strip("<>")
    if "/egress/" in path and "/site-packages/" not in path:
        path = "egress/" + path.rpartition("/egress/")[2]
    else:
        path = "/".join(Path(path.rpartition("/site-packages/")[2]).parts[-3:])
    return f"{path}:{line} {name}"


def _cpu(session: Session, place: str, mode: str, secs: float) -> dict[str, float]:
    """Measure CPU time as counted by the kernel, in user space and in the kernel."""
    pid = int(place.rsplit(":", 1)[1])
    _load(session, place, mode, _PACES[mode] // 4)
    ops = int(2 * secs * _PACES[mode])
    before = _ticks(pid)
    pace = _load(session, place, mode, ops)
    unit = 1e6 / os.sysconf("SC_CLK_TCK") / ops
    user, system = ((late - early) * unit for early, late in zip(before, _ticks(pid), strict=True))
    return {"user": user, "system": system, "per_s": pace}


def _ticks(pid: int) -> list[int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return [int(field) for field in fields[11:13]]


def _calls_of_the_kernel(session: Session, place: str, mode: str) -> dict[str, object]:
    """Count the system calls of all threads of the process."""
    kept = session.directory / f"{mode}.strace"
    ops = _PACES[mode] // 2
    with subprocess.Popen(
        ["strace", "-c", "-f", "-o", str(kept), "-p", place.rsplit(":", 1)[1]], stderr=subprocess.PIPE, text=True
    ) as tracer:
        try:
            assert tracer.stderr is not None
            if "attached" not in (said := tracer.stderr.readline()):
                print(f"no system calls are counted: {said.strip()}", file=sys.stderr)
                return {}
            pace = _load(session, place, mode, ops)
        finally:
            # SIGINT makes strace detach from the process and print its counts.
            tracer.send_signal(signal.SIGINT)
    rows = (line.split() for line in kept.read_text().splitlines())
    counts = {row[-1]: int(row[3]) / ops for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"}
    counts = {name: count for name, count in sorted(counts.items(), key=lambda one: -one[1]) if count >= 0.005}
    return {"system_calls": counts, "traced_per_s": pace}


def text(result: Mapping[str, Any], markdown: Callable[[Sequence[Sequence[str]]], str]) -> str:
    """Make the page: first all modes in one table, then each mode."""
    rows = [["operation", "Python calls", "built-in calls", "CPU us", "user", "system", "system calls", "a second"]]
    for mode, got in result.items():
        total = sum(got["system_calls"].values()) if "system_calls" in got else None
        cells = [f"{got['python']:.1f}", f"{got['native']:.1f}"]
        cells += [f"{value:.0f}" for value in (got["user"] + got["system"], got["user"], got["system"])]
        rows.append([MODES[mode], *cells, "-" if total is None else f"{total:.1f}", f"{got['per_s']:,.0f}"])
    parts = [markdown(rows)]
    for mode, got in result.items():
        parts.append(
            f"#### {MODES[mode][2:]}\n\nUnder cProfile, the main thread only, of {got['ops']:,} operations. The "
            "microseconds are of a clock, and the profiler's own are among them: they tell shares.\n"
        )
        whole = sum(spent for _, spent in got["modules"].values())
        modules = [
            [name, f"{calls:.1f}", f"{spent:.1f}", f"{100 * spent / whole:.0f} %"]
            for name, (calls, spent) in got["modules"].items()
            if calls >= 0.05 or spent >= 0.05
        ]
        parts.append(markdown([["module", "calls", "own us", "share"], *modules]))
        functions = [
            [f"`{name}`", f"{calls:.2f}", f"{own:.1f}", f"{whole:.1f}"] for name, calls, own, whole in got["functions"]
        ]
        parts.append(markdown([["function", "calls", "own us", "with what it calls"], *functions]))
        if "system_calls" in got:
            counted = [[name, f"{count:.2f}"] for name, count in got["system_calls"].items()]
            parts.append(f"Under strace, which slows it down to {got['traced_per_s']:,.0f} operations a second:\n")
            parts.append(markdown([["system call", "calls"], *counted]))
    return "\n".join(parts)


def main() -> None:
    """Profile, and print."""
    import run

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=HERE.parent / ".venv" / "bin" / "python")
    parser.add_argument("--secs", type=float, default=2, help="seconds of each long run")
    parser.add_argument("--modes", default=",".join(MODES))
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Session(args.python.parent / "twistd") as session:
        print(text(measure(session, args.modes.split(","), args.secs), run.markdown))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
