#!/usr/bin/env python3
"""Measure one or more proxies, interleaved, and print medians.

    bench.py [--runs 3] [--secs 3] [--modes http,connect,...] NAME=HOST:PORT[:PID[,PID...]] ...

Each round measures every proxy once in every mode; the order is rotated from
round to round. NAME=direct (no address) measures the target without a proxy;
NAME=relay@HOST:ECHO,HTTP,SOURCE,SINK[:PID] a set of plain TCP relays.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MODES = {
    # name: (load mode, offset of the origin's port, options, key)
    "http": ("http", 0, ["-c", "64"], "per_s"),
    "http1": ("http", 0, ["-c", "1"], "p50_us"),
    "connect": ("connect", 1, ["-c", "64"], "per_s"),
    "connect1": ("connect", 1, ["-c", "1"], "p50_us"),
    "down1": ("down", 2, ["-c", "1"], "GBps"),
    "down8": ("down", 2, ["-c", "8"], "GBps"),
    "up1": ("up", 3, ["-c", "1"], "GBps"),
    "ping1": ("ping", 1, ["-c", "1"], "p50_us"),
    "ping64": ("ping", 1, ["-c", "64"], "per_s"),
    "mixed": ("ping", 1, ["-c", "1"], "p99_us"),
    "idle": ("idle", 1, ["-c", "5000", "-d", "1"], "kib_per_tunnel"),
    "verify": ("verify", 1, ["-c", "8", "-m", "8000000"], "verified"),
}
# The second load of a mode: one client's ping-pong while another transfers at full speed.
BESIDE = {"mixed": ("down", 2, ["-c", "8"])}


def descendants(pid):
    kids = {}
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                with open(f"/proc/{p}/stat") as f:
                    ppid = int(f.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            kids.setdefault(ppid, []).append(int(p))
    out, left = [], [pid]
    while left:
        p = left.pop()
        out.append(p)
        left += kids.get(p, [])
    return out


def command(name, where, load, secs, args):
    kind, offset, options = load
    base = args.zbase if kind == "down" and args.zbase else args.base
    cmd = [os.path.join(args.bin, "load"), kind, "-d", str(secs), "-n", name, "-w", "0.5"]
    target = f"127.0.0.1:{base + offset}"
    pids = []
    extra = []
    rotate = ["-S", "8"]
    if where is None:
        rotate += ["-T", "8"]
    elif where.startswith("relay@"):
        host, ports, *rest = where[6:].split(":")
        http, echo, source, sink = ports.split(",")
        target = f"{host}:{[http, echo, source, sink][offset]}"
        pids = rest[0].split(",") if rest else []
    else:
        host, port, *rest = where.split(":")
        extra = ["-x", f"{host}:{port}"]
        if args.targets > 1:
            rotate += ["-T", str(args.targets)]
        pids = rest[0].split(",") if rest else []
    if args.header:
        extra += ["-a", args.header]
    if pids:
        pids = [str(q) for p in pids for q in descendants(int(p))]
        extra += ["-p", ",".join(pids)]
    cmd += ["-t", target, *options, *extra]
    if kind == "connect":
        cmd += rotate
    if args.cpu is not None:
        cmd = ["taskset", "-c", args.cpu, *cmd]
    return cmd


def measure(name, where, mode, args):
    kind, offset, options, _ = MODES[mode]
    beside = None
    if mode in BESIDE:
        # The second load also runs before and after the mode.
        beside = subprocess.Popen(
            command(name, where, BESIDE[mode], args.secs + 1.5, args), stdout=subprocess.PIPE, text=True
        )
        time.sleep(0.5)
    try:
        cmd = command(name, where, (kind, offset, options), args.secs, args)
        done = subprocess.run(cmd, capture_output=True, text=True, timeout=90)
        res = json.loads(done.stdout)
        if beside is not None:
            res["GBps"] = json.loads(beside.communicate(timeout=90)[0])["GBps"]
    except (subprocess.TimeoutExpired, ValueError) as e:
        return {"label": name, "mode": kind, "failed": repr(e)[:200]}
    finally:
        if beside is not None:
            beside.kill()
            beside.wait()
    if res["errors"] and done.stderr:
        res["stderr"] = done.stderr[:200]
    return res


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("proxies", nargs="+")
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--secs", type=float, default=3)
    ap.add_argument("--modes", default="http,connect,down1,down8,ping1,idle")
    ap.add_argument("--base", type=int, default=9100, help="origin's base port")
    ap.add_argument("--zbase", type=int, default=0, help="base port of an origin started with -z, for down*")
    ap.add_argument("--targets", type=int, default=8, help="rotate that many 127.0.0.x targets in connect mode")
    ap.add_argument("--cpu", help="taskset list for the load generator")
    ap.add_argument("--bin", default=os.path.join(HERE, "bin"))
    ap.add_argument("--header", default="", help="one header line for the proxy, e.g. Proxy-Authorization: ...")
    ap.add_argument("--out", help="append every raw result as a JSON line")
    args = ap.parse_args()
    proxies = [tuple(p.partition("=")[::2]) for p in args.proxies]
    rows = {}
    for run in range(args.runs):
        k = run % len(proxies)
        for mode in args.modes.split(","):
            for name, where in proxies[k:] + proxies[:k]:
                res = measure(name, where or None, mode, args)
                rows.setdefault((mode, name), []).append(res)
                if args.out:
                    with open(args.out, "a") as f:
                        f.write(json.dumps({"run": run, "name": name, "bench": mode, **res}) + "\n")
                time.sleep(0.1)
    report(rows)


def report(rows):
    for (mode, name), got in rows.items():
        keys = [
            k
            for k in (
                "per_s",
                "GBps",
                "p50_us",
                "p99_us",
                "kib_per_tunnel",
                "fds_per_tunnel",
                "cpu_share",
                "cpu_us_per_op",
                "cpu_s_per_GB",
                "rss_mib",
                "verified",
                "mismatches",
                "errors",
            )
            if any(k in g for g in got)
        ]
        med = {k: round(statistics.median([g[k] for g in got if k in g]), 4) for k in keys}
        spread = ""
        key = MODES[mode][3]
        vals = [g[key] for g in got if key in g]
        if len(vals) > 1:
            spread = f"  [{key} {min(vals):g}..{max(vals):g}]"
        bad = sum("failed" in g for g in got)
        print(
            f"{mode:9s} {name:22s} "
            + " ".join(f"{k}={v:g}" for k, v in med.items())
            + spread
            + (f"  FAILED x{bad}" if bad else ""),
            flush=True,
        )


if __name__ == "__main__":
    main()
