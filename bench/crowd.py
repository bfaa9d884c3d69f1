"""Measures one good client beside thousands of bad clients and origins."""

from __future__ import annotations

import json
import resource
import selectors
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import costly
from configured import shipped
from measured import ticks
from started import HERE, LOAD_CORE, Session, free_ports

_CROWD, _STUCK, _COSTLY = 10_000, 1_000, 30
_SPARE = 400
KINDS = {
    "silent": "send nothing",
    "slow": "send one byte a second",
    "closing": "connect and close at once, again and again",
    "deaf clients": "ask for endless data and never read it",
    "deaf origins": "send what their origin never reads",
}


def measure(session: Session, secs: float) -> dict[str, object]:
    """Measure the good client alone, and then beside each kind of crowd, each against a fresh process."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    result: dict[str, object] = {}
    for kind in (*KINDS, *costly.KINDS):
        # All connections are accepted, and the good client uses a listener of its own: limits are counted by listener
        # and client, and all of loopback is one client.
        own = free_ports(1)
        more = f'[[listener]]\nname = "good"\nendpoint = "tcp:{own}:interface=127.0.0.1"\n'
        more += "[limits]\nconnections = 12000\nconnections_per_client = 11000\n"
        probed = free_ports(1)
        more += f'[status]\nendpoint = "tcp:{probed}:interface=127.0.0.1"\n'
        listener = _listener(session, kind)
        place = session.egress(kind.replace(" ", "-"), shipped(session.base, listener=listener, more=more))
        proxy, pid = place.rsplit(":", 1)
        if kind in costly.KINDS:
            script, count = "costly.py", _COSTLY
        elif kind in ("silent", "slow", "closing"):
            script, count = "crowd.py", min(_CROWD, most - _SPARE)
        else:
            script, count = "crowd.py", min(_STUCK, (most - _SPARE) // 8)
        good = f"127.0.0.1:{own}"
        _good(session, good, 0.5)
        before, alone = _rss(pid), _good(session, good, secs)
        # The good client shares a core with the crowd, and comes first there: the proxy is what is measured.
        command = ["nice", "-n", "19", sys.executable, str(HERE / script), kind, str(count), proxy, str(session.base)]
        crowd = session.start(command, LOAD_CORE)
        assert crowd.stdout is not None
        here = crowd.stdout.readline().strip()
        if not here.isdigit():
            raise RuntimeError(f"the crowd of {kind} did not come: {here}")
        settled = _settled(pid) if kind.startswith("deaf") else 0.0
        with _Livez(probed) as livez:
            beside = _good(session, good, secs)
        result[kind] = {
            "count": int(here),
            "alone": alone,
            "beside": beside,
            "livez": livez.p99_ms(),
            "before": before,
            "rss": _rss(pid),
            "settled": settled,
        }
        print(f"crowd: {kind} {result[kind]}", file=sys.stderr, flush=True)
        session.end(crowd)
    return result


def _listener(session: Session, kind: str) -> str:
    """Return the keys that the listener of a crowd needs."""
    if kind == "small records":
        path = costly.make_certificate(session.directory)
        return f'[listener.tls]\ncertificate = "{path}"\nkey = "{path}"\n'
    if kind == "refused uploads":
        tokens = session.directory / "tokens"
        tokens.touch(mode=0o600)
        return f'require = "basic"\ntokens = "{tokens}"\n'
    return ""


class _Livez:
    """Asks for /livez every 20 ms, each time on a new connection, while it is open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._took: list[float] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> _Livez:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._is_over.wait(0.02):
            began = time.monotonic()
            with socket.create_connection(("127.0.0.1", self._port), 30) as probe:
                probe.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                while probe.recv(4096):
                    pass
            self._took.append((time.monotonic() - began) * 1e3)

    def p99_ms(self) -> float:
        """Return the 99th percentile."""
        return sorted(self._took)[int(len(self._took) * 0.99)] if self._took else 0.0


def _good(session: Session, proxy: str, secs: float) -> dict[str, float]:
    command = ["taskset", "-c", LOAD_CORE, str(HERE / "bin" / "load"), "http", "-c", "1", "-d", str(secs)]
    command += ["-t", f"127.0.0.1:{session.base}", "-x", proxy]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    got = json.loads(done.stdout)
    return {key: got[key] for key in ("p50_us", "p99_us", "errors", "per_s")}


def _settled(pid: str) -> float:
    """Wait until all buffers are full, or for 30 seconds.

    Returns:
        The elapsed time in seconds.
    """
    began = time.monotonic()
    while (took := time.monotonic() - began) < 30:
        before = ticks(int(pid))
        time.sleep(0.5)
        if ticks(int(pid)) - before <= 2:
            break
    return took


def _rss(pid: str) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def table(result: dict[str, Any]) -> list[list[str]]:
    """Make the rows: the good client's rate and the proxy's memory, before and during the load."""
    rows = [
        [
            "crowd",
            "how many",
            "p50 ms, p99 ms alone",
            "p50 ms, p99 ms beside it",
            "/livez p99 ms beside it",
            "failed",
            "RSS MiB before",
            "RSS MiB with it",
        ]
    ]
    for kind, got in result.items():
        pace = [f"{got[when]['p50_us'] / 1e3:.2f}, {got[when]['p99_us'] / 1e3:.2f}" for when in ("alone", "beside")]
        pace.append(f"{got['livez']:.1f}")
        failed = f"{got['beside']['errors']:.0f}"
        rows.append(
            [
                f"{kind}: {(KINDS | costly.KINDS)[kind]}",
                f"{got['count']:,}",
                *pace,
                failed,
                f"{got['before']:.0f}",
                f"{got['rss']:.0f}",
            ]
        )
    return rows


class _Crowd:
    """The clients of one kind, on other addresses than the good client."""

    def __init__(self, proxy: str, base: int) -> None:
        host, port = proxy.split(":")
        self._proxy = (host, int(port))
        self._base = base
        self._seen = 0
        self.members: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """Open one connection, blocking until it is established."""
        member = socket.socket()
        member.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        self._seen += 1
        member.bind((f"127.0.0.{2 + self._seen % 8}", 0))
        member.connect(self._proxy)
        return member

    def gather(self, count: int) -> None:
        """Open all connections."""
        for _ in range(count):
            member = self.connect()
            member.setblocking(False)
            self.members.append(member)

    def drip(self, first: bytes) -> None:
        """Send a byte a second on each connection, and reconnect where the proxy has closed."""
        while True:
            began = time.monotonic()
            for number, member in enumerate(self.members):
                try:
                    member.send(first)
                except BlockingIOError:
                    pass
                except OSError:
                    member.close()
                    self.members[number] = self.connect()
                    self.members[number].setblocking(False)
                if number % 100 == 0:
                    time.sleep(max(0.0, began + number / len(self.members) - time.monotonic()))
            time.sleep(max(0.0, began + 1 - time.monotonic()))

    def tunnel(self, port: int) -> socket.socket:
        """Open a tunnel and wait for the 200."""
        member = self.connect()
        member.settimeout(20)
        member.sendall(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += member.recv(1)
        if b" 200" not in answer[:13]:
            raise SystemExit(f"not 200: {answer[:40]!r}")
        return member

    def deaf(self, count: int) -> None:
        """Request more octets than are ever read."""
        for _ in range(count):
            member = self.tunnel(self._base + 2)
            member.sendall(b"g")
            self.members.append(member)

    def unheard(self, count: int) -> None:
        """Send as much as possible to an origin that accepts and reads nothing."""
        origin = socket.create_server(("127.0.0.1", self._base + 5), backlog=4096)
        kept: list[socket.socket] = []
        accepting = threading.Thread(target=lambda: kept.extend(origin.accept()[0] for _ in range(count)), daemon=True)
        accepting.start()
        waiting = selectors.DefaultSelector()
        for _ in range(count):
            member = self.tunnel(self._base + 5)
            member.setblocking(False)
            self.members.append(member)
            waiting.register(member, selectors.EVENT_WRITE)
        full = b"x" * 65536
        ends = time.monotonic() + 4
        while time.monotonic() < ends:
            for key, _ in waiting.select(0.2):
                try:
                    key.fileobj.send(full)  # type: ignore[union-attr]
                except BlockingIOError:
                    continue


def _main(kind: str, count: int, proxy: str, base: int) -> None:
    crowd = _Crowd(proxy, base)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if kind == "closing":
        print(count, flush=True)
        while True:
            for _ in range(100):
                crowd.connect().close()
            time.sleep(0.02)
    if kind == "deaf clients":
        crowd.deaf(count)
    elif kind == "deaf origins":
        crowd.unheard(count)
    else:
        crowd.gather(count)
    print(len(crowd.members), flush=True)
    if kind == "slow":
        crowd.drip(b"G")
    while True:
        time.sleep(60)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
