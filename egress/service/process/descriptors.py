"""The limit of open descriptors, and the number that the proxy may need."""

from __future__ import annotations

import resource

# A tunnel has two. The audit log, the reactor and the resolver have further ones.
_DESCRIPTORS_PER_CONNECTION = 2
_DESCRIPTORS_OF_OURS = 64


def needed_descriptors(connections: int) -> int:
    """Give the number of descriptors that so many client connections may need."""
    return connections * _DESCRIPTORS_PER_CONNECTION + _DESCRIPTORS_OF_OURS


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one (getrlimit(2)).

    Returns:
        The limit that holds now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft
    return hard
