"""The network of a node whose only connection to origins is a proxy.

    node ---- site ---- outside         the node reaches the site's proxy, and services of the cluster
      |         |          |            the site's proxy reaches origins, and the partner's proxy
    cluster   partner ------            the partner's proxy reaches origins of its own

Nothing is routed: who wants to get further must be let through.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.live.routes.namespaces import Namespace

NODE = "10.50.0.2"
SITE = "10.50.0.1"
SITE_6 = "fd50::1"
PARTNER = "10.60.0.2"
SILENT = "10.50.0.53"
"""Where a resolver gets no answer."""
NOWHERE = "10.50.0.99"
"""Where nobody is."""

# They are public to whoever judges them, and there is nothing behind them but what is here.
ORIGIN = "93.184.216.34"
ORIGIN_6 = "2606:2800:220:1::34"
FAR = "93.184.217.34"
FAR_6 = "2606:2800:220:2::34"
SERVICE = "10.96.0.10"

ORIGIN_NAME = "origin.example"
SECOND_NAME = "second.example"
FAR_NAME = "far.example"

_RESOLVER = "nameserver {address}\noptions timeout:1 attempts:1\n"
_ORDER = "hosts: files dns\n"


class Snapshot:
    """Five networks, and a node on which names are what its hosts file says.

    Attributes:
        node: where the supervisor and its clients are.
        site: where the proxy is.
        partner: where the second proxy is.
        outside: where origins are.
        cluster: where services of the cluster are.
    """

    def __init__(self, directory: Path, hosts: Mapping[str, str], *, is_silent: bool = False) -> None:
        """Make it.

        Args:
            directory: for files of the node's.
            hosts: the node's hosts file.
            is_silent: the node's resolver does not answer; otherwise there is none.

        Raises:
            OSError: it cannot be made here.
        """
        self._stack = ExitStack()
        with ExitStack() as until_made:
            until_made.callback(self._stack.close)
            self.node, self.site, self.partner, self.outside, self.cluster = (self._space() for _ in range(5))
            self.node.link(self.site, "way", (f"{NODE}/24", "fd50::2/64"), (f"{SITE}/24", f"{SITE_6}/64"))
            self.node.link(self.cluster, "services", ("10.96.0.2/12",), (f"{SERVICE}/12",))
            self.site.link(self.partner, "row", ("10.60.0.1/24",), (f"{PARTNER}/24",))
            self._lead_out(self.site, "origin", "93.184.216.1/24", "2606:2800:220:1::1/64", ORIGIN, ORIGIN_6)
            self._lead_out(self.partner, "far", "93.184.217.1/24", "2606:2800:220:2::1/64", FAR, FAR_6)
            self.site.ip(f"address add {SILENT}/24 dev way")
            with self.site.entered():
                self._questions = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            self._questions.bind((SILENT, 53))
            self._questions.setblocking(False)
            names = "".join(f"{address} {name}\n" for name, address in hosts.items())
            self._show(directory, "/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{names}")
            self._show(directory, "/etc/resolv.conf", _RESOLVER.format(address=SILENT if is_silent else SITE))
            self._show(directory, "/etc/nsswitch.conf", _ORDER)
            until_made.pop_all()

    def _space(self) -> Namespace:
        namespace = Namespace()
        self._stack.callback(namespace.stop)
        return namespace

    def _lead_out(self, space: Namespace, name: str, own: str, own_6: str, address: str, address_6: str) -> None:
        space.link(self.outside, name, (own, own_6), (f"{address}/24", f"{address_6}/64"))

    def _show(self, directory: Path, place: str, text: str) -> None:
        path = directory / place.rpartition("/")[2]
        path.write_text(text, "ascii")
        path.chmod(0o644)
        self.node.show_file(path, place)

    def questions(self, name: str) -> int:
        """Say how often the silent resolver was asked for a name since the last time that it was read."""
        # RFC 1035 section 3.1: labels behind their lengths.
        labels = b"".join(bytes([len(each)]) + each.encode("ascii") for each in name.split("."))
        count = 0
        while True:
            try:
                count += labels in self._questions.recv(4096)
            except BlockingIOError:
                return count

    def stop(self) -> None:
        """End it."""
        self._stack.close()
