"""What the system and the status listener tell about a process."""

from __future__ import annotations

import http.client
import os
import re
from collections import Counter
from pathlib import Path

from attrs import define, field, frozen

_SAMPLE = re.compile(r"^([a-z_]+)(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)
# What has to be 0 when nobody is connected.
IDLE_METRICS = (
    "egress_client_connections",
    "egress_tunnels",
    "egress_open_tunnel_bytes",
    "egress_origin_pool_connections",
    "egress_resolver_pending_lookups",
)


@frozen
class Figures:
    """One look at a process.

    Attributes:
        descriptors: what its descriptors are, such as `socket`, with their number.
        rss_bytes: resident memory.
        threads: the number of its threads.
    """

    descriptors: Counter[str] = field(factory=Counter)
    rss_bytes: int = 0
    threads: int = 0


@define
class Observation:
    """Looks at one process. Its descriptors can only be read by root, as the process is undumpable.

    Attributes:
        pid: of the process.
        status_port: of its status listener.
        peak_bytes: the most resident memory that was seen.
    """

    pid: int
    status_port: int
    peak_bytes: int = 0

    def look(self) -> Figures:
        """Look now."""
        status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        numbers = {name: int(value) for name, value in re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE)}
        figures = Figures(self._descriptors(), numbers["VmRSS"] * 1024, numbers["Threads"])
        self.peak_bytes = max(self.peak_bytes, figures.rss_bytes)
        return figures

    def _descriptors(self) -> Counter[str]:
        directory = f"/proc/{self.pid}/fd"
        found: Counter[str] = Counter()
        for name in os.listdir(directory):
            try:
                found[os.readlink(f"{directory}/{name}").partition(":[")[0]] += 1
            except FileNotFoundError:
                continue
        return found

    def metrics(self) -> Counter[str]:
        """Read the metrics; the samples of one name are added up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.status_port, timeout=60)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode("utf-8")
        finally:
            connection.close()
        found: Counter[str] = Counter()
        for name, value in _SAMPLE.findall(text):
            found[name] += round(float(value))
        return found

    def busy(self) -> dict[str, int]:
        """Return the metrics that are not 0 and would be if nobody were connected."""
        metrics = self.metrics()
        return {name: metrics[name] for name in IDLE_METRICS if metrics[name]}
