"""The unchanged dialogues of `tests/proxy`, over real sockets of the engine."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from egress.testing.network import Network
from tests.live.engine_network import EngineNetwork
from tests.live.routes.namespaces import Namespace, needs_networks
from tests.proxy import (
    test_departure,
    test_dispatch,
    test_exchange,
    test_factory,
    test_forwarding,
    test_observers,
    test_routes,
    test_server,
    test_transaction,
    test_transaction_reload,
)
from tests.proxy.client import test_identification as test_callers
from tests.proxy.http1 import test_heads
from tests.proxy.origin import test_binding, test_reuse
from tests.proxy.origin import test_pool_dialogues as test_pool
from tests.proxy.support import ADDRESS, ADDRESS6, OTHER, ServerCase
from tests.proxy.tunnel import test_inspection, test_inspection_hello, test_setup, test_tunnel

# What the in-memory network can do and a real one cannot: cut segments, lose packets, delay handshakes, count rests.
_MEMORY_ONLY = (
    "segment_bytes",
    "window_bytes",
    "blackhole",
    "unreachable",
    "delay",
    "buffered_bytes",
    "open_links",
    "assert_quiet",
)

_ADDRESSES = (
    *(f"{each}/32" for each in (ADDRESS, OTHER, "198.18.0.9", "198.18.0.10", "10.1.2.3")),
    *(f"{each}/128" for each in (ADDRESS6, "2001:db8::1", "2001:db8::2", "2001:db8::ffff")),
)


@cache
def network_of_ours() -> Namespace:
    """Make a network whose loopback has the addresses of the dialogues. It ends with this process."""
    made = Namespace()
    made.ip(*(f"address add {each} dev lo{' nodad' if ':' in each else ''}" for each in _ADDRESSES))
    # Clients come from any of these.
    made.ip("route add local 192.0.2.0/24 dev lo")
    with made.entered():
        # Of this network alone: what waits in the kernel is little, as it is in memory.
        for name in ("tcp_rmem", "tcp_wmem"):
            Path(f"/proc/sys/net/ipv4/{name}").write_text("4096 65536 65536")
    return made


class _OverTheEngine:
    """Put before a class of dialogues: it runs them in the network of ours."""

    left_out: frozenset[str] = frozenset()

    def setUp(self: Any) -> None:
        needs_networks()
        if not hasattr(self, "network"):
            entered = network_of_ours().entered()
            entered.__enter__()
            self.addCleanup(entered.__exit__, None, None, None)
        super().setUp()  # type: ignore[misc]

    def make_network(self: Any) -> Network | EngineNetwork:
        """Make what connections run on."""
        if self._testMethodName in self.left_out:
            return Network(segment_bytes=self.segment_bytes)
        before = getattr(self, "network", None)
        if before is not None:
            # Some dialogues begin anew.
            self.server.stop()
            before.stop()
        network = EngineNetwork()
        # Before the proxy server's own end, and so after it.
        self.addCleanup(network.stop)
        return network


def _needs_memory(method: Any) -> bool:
    names = {
        *method.__code__.co_names,
        *(name for each in method.__code__.co_consts if hasattr(each, "co_names") for name in each.co_names),
    }
    return not names.isdisjoint(_MEMORY_ONLY)


def _over_the_engine(kind: type[ServerCase]) -> type[SynchronousTestCase]:
    """Make the same class over the engine, but for what only memory can do, which stays in memory."""
    left_out = frozenset(name for name in dir(kind) if name.startswith("test_") and _needs_memory(getattr(kind, name)))
    LEFT_OUT.extend(f"{kind.__name__}.{name}" for name in left_out)
    return type(kind.__name__, (_OverTheEngine, kind), {"left_out": left_out, "__module__": __name__})


LEFT_OUT: list[str] = []
TAKEN: list[str] = []

for _module in (
    test_binding,
    test_callers,
    test_departure,
    test_dispatch,
    test_exchange,
    test_factory,
    test_forwarding,
    test_heads,
    test_inspection,
    test_inspection_hello,
    test_observers,
    test_pool,
    test_reuse,
    test_routes,
    test_server,
    test_setup,
    test_transaction,
    test_transaction_reload,
    test_tunnel,
):
    for _name, _kind in list(vars(_module).items()):
        if isinstance(_kind, type) and issubclass(_kind, ServerCase) and _kind.__module__ == _module.__name__:
            if not any(each.startswith("test_") for each in dir(_kind)):
                continue
            globals()[f"{_module.__name__.rpartition('_')[2].title()}{_name}"] = _over_the_engine(_kind)
            TAKEN.extend(f"{_name}.{each}" for each in dir(_kind) if each.startswith("test_"))
del _kind, _name, _module


class WhatIsLeftOutTests(SynchronousTestCase):
    """The dialogues that need the in-memory network stay few."""

    def test_few(self) -> None:
        """Nine in ten run over the engine."""
        self.assertGreater(len(TAKEN), 150)
        self.assertLess(len(LEFT_OUT), len(TAKEN) / 10, LEFT_OUT)
