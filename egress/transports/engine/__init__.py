"""The engine: TCP transports in one edge-triggered epoll set, which the reactor polls as a single reader.

Twisted's transports spend most of a short connection on dispatching each event, on changing the reactor's epoll set and
on reactor turns between a write and its system call. The engine's transports provide Twisted's interfaces, so every
protocol can use them.
"""

from __future__ import annotations

import select


def is_supported() -> bool:
    """Whether this system has epoll. Without epoll, `egress.transports.engine.engine` cannot be imported."""
    return hasattr(select, "epoll")


__all__ = ["is_supported"]
