"""Measures the CPU cost of each kind of request relative to the simplest kind."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from configured import shipped
from measured import rounds
from started import HERE, LOAD_CORE, Session

_CONNECTS, _REQUESTS = "CPU us a CONNECT", "CPU us a plain request"


def measure(session: Session, python: Path, runs: int, secs: float) -> dict[str, object]:
    """Measure direct, chained and authenticated requests in turn, and then names one at a time."""
    base = session.base
    tokens = session.directory / "tokens.txt"
    made = subprocess.run(
        [str(python.parent / "egress"), "token", "new", "bench", "--file", str(tokens)],
        capture_output=True,
        text=True,
        check=True,
    )
    asks = f'require = "basic"\ntokens = "{tokens}"\n'
    places = {
        "direct": session.egress("direct", shipped(base)),
        "with a token": session.egress("token", shipped(base, listener=asks)),
    }
    # On the other core, because the upstream's own cost does not count.
    if hop := session.peer("squid", LOAD_CORE):
        chain = f'[[upstream]]\nname = "squid"\nurl = "http://{hop.rsplit(":", 1)[0]}"\n[routing]\ndefault = "squid"\n'
        places["chained"] = session.egress("chained", shipped(base, more=chain))
    headers = {"with a token": f"Proxy-Authorization: Bearer {made.stdout.split()[-1]}"}
    got = rounds(places, ["connect", "http"], base=base, runs=runs, secs=secs, headers=headers)
    result: dict[str, object] = {
        _CONNECTS: {name: figures["cpu_us_per_op"] for name, figures in got["connect"].items()},
        _REQUESTS: {name: figures["cpu_us_per_op"] for name, figures in got["http"].items()},
    }
    result["names"] = _names(session, runs, secs)
    return result


def _names(session: Session, runs: int, secs: float) -> dict[str, dict[str, float]]:
    """Request names, one CONNECT at a time: an address, a cached name, and names that are never cached.

    With a cache of one answer and two names in turn, each name has been evicted at its next request.
    """
    names = _of_loopback()
    if len(names) < 2:
        print("names: /etc/hosts has fewer than two for 127.0.0.1, so cold names are left out", file=sys.stderr)
        return {}
    opens = shipped(session.base, names=names)
    place = session.egress("names", opens)
    cold = session.egress("cold", opens + "[dns]\ncache_names = 1\n")
    asked = {
        "an address": (place, []),
        "a name, warm": (place, ["-N", names[0]]),
        "a name, cold": (cold, ["-N", ",".join(names)]),
    }
    got: dict[str, list[dict[str, float]]] = {name: [] for name in asked}
    for _ in range(runs):
        for name, (where, options) in asked.items():
            proxy, pid = where.rsplit(":", 1)
            command = ["taskset", "-c", LOAD_CORE, str(HERE / "bin" / "load"), "connect", "-c", "1", "-S", "8"]
            command += ["-t", f"127.0.0.1:{session.base + 1}", "-x", proxy, "-p", pid, "-d", str(secs), *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            figures = json.loads(done.stdout)
            if figures["errors"]:
                print(f"{name}: {done.stderr[:300]}", file=sys.stderr)
            elif "cpu_us_per_op" in figures:
                got[name].append(figures)
    return {
        name: {key: statistics.median(one[key] for one in each) for key in ("cpu_us_per_op", "p50_us")}
        for name, each in got.items()
        if each
    }


def _of_loopback() -> tuple[str, ...]:
    names: list[str] = []
    for line in Path("/etc/hosts").read_text().splitlines():
        address, *rest = line.partition("#")[0].split() or [""]
        names += [name for name in rest if address == "127.0.0.1" and name not in names]
    return tuple(names[:2])


def table(result: dict[str, Any]) -> list[list[str]]:
    """Make the rows: each kind, and its cost as a multiple of the direct request."""
    rows = [["way", _CONNECTS, "ratio", _REQUESTS, "ratio"]]
    connects, requests = result[_CONNECTS], result[_REQUESTS]
    for name, cost in connects.items():
        other = requests[name]
        ratios = (cost / connects["direct"], other / requests["direct"])
        rows.append([name, f"{cost:.0f}", f"{ratios[0]:.2f}", f"{other:.0f}", f"{ratios[1]:.2f}"])
    return rows


def names_table(result: dict[str, Any]) -> list[list[str]]:
    """Make the rows of the names: one CONNECT at a time."""
    rows = [["CONNECT to", "CPU us", "ratio", "median us to the echo"]]
    first = next(iter(result["names"].values()), {"cpu_us_per_op": 1.0})["cpu_us_per_op"]
    for name, got in result["names"].items():
        cost = got["cpu_us_per_op"]
        rows.append([name, f"{cost:.0f}", f"{cost / first:.2f}", f"{got['p50_us']:.0f}"])
    return rows
