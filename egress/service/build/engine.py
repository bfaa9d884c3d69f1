"""Chooses what serves TCP connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from egress.transports.engine import is_supported

if TYPE_CHECKING:
    from egress.transports.engine.engine import Engine


def make_engine(choice: str, reactor: Any) -> Engine | None:
    """Make the engine. It serves connections once it is started.

    Args:
        choice: the key `engine`: "auto" or "twisted".
        reactor: runs the engine.

    Returns:
        None where the reactor serves TCP connections.
    """
    if choice == "twisted" or not is_supported():
        return None
    # The module can be imported only where the system has epoll.
    from egress.transports.engine.engine import Engine

    return Engine(reactor)
