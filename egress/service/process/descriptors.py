"""The limit of open descriptors, and the number of descriptors that the proxy may need."""

from __future__ import annotations

import resource

# A tunnel needs two descriptors. The audit log, the reactor and the resolver need further descriptors.
_DESCRIPTORS_PER_CONNECTION = 2
_DESCRIPTORS_OF_OURS = 64


def needed_descriptors(connections: int) -> int:
    """Return the number of descriptors that a number of client connections may need."""
    return connections * _DESCRIPTORS_PER_CONNECTION + _DESCRIPTORS_OF_OURS


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one (getrlimit(2)).

    Returns:
        The resulting soft limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft
    return hard
