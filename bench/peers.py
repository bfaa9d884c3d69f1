#!/usr/bin/env python3
"""Start a peer proxy on loopback with a speed-minded configuration.

    peers.py NAME PORT [--dir SCRATCH] [--cpu LIST] [--base ORIGIN_BASE] [--zbase BASE]

Prints 'NAME=ADDRESS:PID' for bench.py once it listens, then waits; ends the
peer when it is itself ended. Programs are looked up on PATH.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

ap = argparse.ArgumentParser()
ap.add_argument("name")
ap.add_argument("port", type=int)
ap.add_argument("--dir", default=tempfile.gettempdir())
ap.add_argument("--cpu", default=None)
ap.add_argument("--base", type=int, default=9100)
ap.add_argument("--zbase", type=int, default=0)
a = ap.parse_args()
p = a.port
conf = os.path.join(a.dir, f"{a.name}-{p}.conf")
addr = f"127.0.0.1:{p}"
env = dict(os.environ)


def write(text):
    with open(conf, "w") as f:
        f.write(text)
    return conf


def squid():
    return [
        "squid",
        "-N",
        "-n",
        f"bench{p}",  # without a name of its own it would share memory with any other squid
        "-f",
        write(f"""
http_port 127.0.0.1:{p}
acl all_src src all
http_access allow all
cache deny all
cache_mem 8 MB
memory_pools on
access_log none
cache_log /dev/null
cache_store_log none
pid_filename {a.dir}/squid-{p}.pid
max_filedescriptors 20000
shutdown_lifetime 0 seconds
via off
forwarded_for delete
coredump_dir {a.dir}
netdb_filename none
pinger_enable off
"""),
    ]


def tinyproxy():
    return [
        "tinyproxy",
        "-d",
        "-c",
        write(f"""
Port {p}
Listen 127.0.0.1
Timeout 600
MaxClients 10000
LogLevel Critical
LogFile "/dev/null"
"""),
    ]


def privoxy():
    return [
        "privoxy",
        "--no-daemon",
        write(f"""
listen-address 127.0.0.1:{p}
toggle 0
keep-alive-timeout 300
connection-sharing 1
max-client-connections 8000
listen-backlog 4096
logfile /dev/null
debug 0
tolerate-pipelining 1
socket-timeout 300
"""),
    ]


def haproxy():
    global addr
    z = a.zbase or a.base
    addr = f"relay@127.0.0.1:{p},{p + 1},{p + 2},{p + 3}"
    return [
        "haproxy",
        "-db",
        "-f",
        write(f"""
global
  maxconn 4900
  nbthread 1
  tune.pipesize 1048576
  tune.maxpollevents 256
defaults
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  option splice-request
  option splice-response
listen http
  mode http
  option http-keep-alive
  http-reuse always
  bind 127.0.0.1:{p}
  server s 127.0.0.1:{a.base}
listen echo
  mode tcp
  bind 127.0.0.1:{p + 1}
  server s 127.0.0.1:{a.base + 1}
listen source
  mode tcp
  bind 127.0.0.1:{p + 2}
  server s 127.0.0.1:{z + 2}
listen sink
  mode tcp
  bind 127.0.0.1:{p + 3}
  server s 127.0.0.1:{a.base + 3}
"""),
    ]


def proxypy():
    return [
        "proxy",
        "--hostname",
        "127.0.0.1",
        "--port",
        str(p),
        "--num-workers",
        "1",
        "--num-acceptors",
        "1",
        "--log-level",
        "ERROR",
        "--threadless",
    ]


def mitmproxy():
    # It relays like the others, which is half the work of keeping each flow.
    return [
        "mitmdump",
        "-q",
        "--listen-host",
        "127.0.0.1",
        "-p",
        str(p),
        "--set",
        "connection_strategy=lazy",
        "--ignore-hosts",
        ".*",
    ]


def smokescreen():
    env["GOMAXPROCS"] = str(len(a.cpu.split(","))) if a.cpu else env.get("GOMAXPROCS", "2")
    return ["smokescreen", "--listen-ip", "127.0.0.1", "--listen-port", str(p), "--allow-range", "127.0.0.0/8"]


cmd = globals()[a.name]()
if a.cpu:
    cmd = ["taskset", "-c", a.cpu, *cmd]
log = os.path.join(a.dir, f"{a.name}-{p}.log")
with open(log, "w") as errors:
    child = subprocess.Popen(cmd, stdout=subprocess.DEVNULL, stderr=errors, env=env)


def stop(*_):
    child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
for _ in range(100):
    if child.poll() is not None:
        sys.exit(f"{a.name} ended with {child.returncode}; see {log}")
    try:
        socket.create_connection(("127.0.0.1", p), 1).close()
        break
    except OSError:
        time.sleep(0.1)
print(f"{a.name}={addr}:{child.pid}", flush=True)
while child.poll() is None:
    time.sleep(0.5)
sys.exit(f"{a.name} ended with {child.returncode}; see {log}")
