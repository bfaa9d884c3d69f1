"""Fast TCP transports: one edge-triggered epoll set that the reactor sees as a single reader.

Twisted's own transports spend most of a short connection on dispatching each event, on changing the reactor's epoll set
and on turns between a write and its system call. These provide the same interfaces, so every protocol runs on them.
"""

from __future__ import annotations

import select


def is_supported() -> bool:
    """Whether this system has epoll; `egress.transports.engine.engine` can be imported only then."""
    return hasattr(select, "epoll")


__all__ = ["is_supported"]
