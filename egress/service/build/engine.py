"""Chooses whether the engine or the reactor serves and dials TCP connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from egress.transports.descriptor_ceiling import DescriptorCeiling
from egress.transports.engine import is_supported
from egress.transports.engine.dialler import EngineDialler
from egress.transports.keepalive import KeepaliveDialler

if TYPE_CHECKING:
    from egress.transports.engine.engine import Engine


def make_engine(choice: str, reactor: Any, ceiling: DescriptorCeiling | None = None) -> Engine | None:
    """Make the engine, which serves connections after its start.

    Args:
        choice: the key `engine`: "auto" or "twisted".
        reactor: the reactor of the engine.
        ceiling: the ceiling of the descriptors that connections may use; None for no ceiling.

    Returns:
        The engine; None where the reactor serves TCP connections.
    """
    if choice == "twisted" or not is_supported():
        return None
    # The module can be imported only where the system has epoll.
    from egress.transports.engine.engine import Engine

    return Engine(reactor, ceiling=ceiling)


def make_dialler(engine: Engine | None, reactor: Any, keepalive_seconds: int) -> EngineDialler | KeepaliveDialler:
    """Make the dialler of origins and upstreams.

    Args:
        engine: the engine; None where the reactor dials.
        reactor: the reactor of the process.
        keepalive_seconds: see `egress.transports.keepalive.set_keepalive`.
    """
    if engine is None:
        return KeepaliveDialler(reactor, keepalive_seconds)
    return EngineDialler(engine, keepalive_seconds)
