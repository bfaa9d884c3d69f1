"""The descriptors of the process: their number, their users, and the limits that fit."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable

from attrs import define, evolve, field, frozen

from egress.api.settings import CONNECTIONS_LIMIT
from egress.errors import ConfigError
from egress.proxy.limits import Limits
from egress.service.settings.settings import Settings
from egress.transports.descriptor_ceiling import DescriptorCeiling

MIN_CONNECTIONS = 8
"""With fewer connections, a proxy is not started."""

# A client connection, and the origin connection of its request.
_PER_CONNECTION = 2
# Open from the start on: standard streams, log, audit log, event loop, engine, control socket, locks.
_OURS = 32
# A reload binds new sockets beside the old ones.
_PER_LISTENER = 2
# Connections that are being refused for want of others.
_REFUSED = 64
# Of the control socket, and files that a reload and a rotation open.
_CONTROL, _FILES = 8, 32
# A look-up asks for two types of records, each at up to three name servers, with a socket for each question.
_PER_LOOK_UP = 6


@frozen
class Fit:
    """The limits that a number of descriptors permits.

    Attributes:
        limits: the configured limits, with fewer connections where the descriptors are too few.
        ceiling: the first descriptor that no client connection and no origin connection may use.
        warning: one sentence about the limits that are lower than configured; "" where all are as configured.
    """

    limits: Limits
    ceiling: int
    warning: str = ""


def fit(settings: Settings, descriptors: int) -> Fit:
    """Compute the limits that a number of descriptors permits.

    Args:
        settings: the settings: limits, listeners and number of look-ups.
        descriptors: the number of descriptors that the process may have.

    Raises:
        ConfigError: the descriptors are too few for any proxy.
    """
    limits = settings.limits
    # Of few descriptors, at most a quarter is reserved.
    reserve = min(CONNECTIONS_LIMIT + _CONTROL + _FILES + _PER_LOOK_UP * settings.dns.concurrent, descriptors // 4)
    ceiling = descriptors - reserve
    free = ceiling - _OURS - _PER_LISTENER * len(settings.listener) - min(_REFUSED, descriptors // 16)
    pool = min(limits.pool_connections, max(free // 4, free - _PER_CONNECTION * limits.connections, 0))
    connections = min(limits.connections, (free - pool) // _PER_CONNECTION)
    if connections < min(MIN_CONNECTIONS, limits.connections):
        problem = f"{descriptors} descriptors (RLIMIT_NOFILE) permit no proxy; raise the limit (LimitNOFILE=)"
        raise ConfigError("limits.connections", problem)
    if (connections, pool) == (limits.connections, limits.pool_connections):
        return Fit(limits, ceiling)
    # One client keeps its configured share of the connections.
    per_client = limits.connections_per_client
    if per_client < limits.connections:
        per_client = max(1, connections * per_client // limits.connections)
    fitting = evolve(limits, connections=connections, connections_per_client=per_client, pool_connections=pool)
    names = ("connections", "connections_per_client", "pool_connections")
    changed = [name for name in names if getattr(fitting, name) != getattr(limits, name)]
    told = ", ".join(f"limits.{name} = {getattr(fitting, name)} (not {getattr(limits, name)})" for name in changed)
    return Fit(
        fitting, ceiling, f"{descriptors} descriptors (RLIMIT_NOFILE) permit only {told}; {reserve} are reserved"
    )


def read_descriptor_limit() -> int:
    """Return the number of descriptors that this process may have (getrlimit(2))."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one (getrlimit(2)).

    Returns:
        The resulting soft limit.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return read_descriptor_limit()
    return read_descriptor_limit()


@define(eq=False)
class DescriptorBudget:
    """Fits configurations into the descriptors of the process.

    Attributes:
        read: returns the number of descriptors that the process may have.
        ceiling: the ceiling, shared with all that opens connections.
    """

    read: Callable[[], int] = read_descriptor_limit
    ceiling: DescriptorCeiling = field(factory=DescriptorCeiling)

    def fit(self, settings: Settings) -> Fit:
        """Fit a configuration. Nothing changes before `apply`. See `fit`."""
        return fit(settings, self.read())

    def apply(self, fitted: Fit) -> None:
        """Make the ceiling of a configuration the one that applies."""
        self.ceiling.set(fitted.ceiling)
