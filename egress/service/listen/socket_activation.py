"""Takes over the sockets that systemd listens on (sd_listen_fds(3)).

Twisted's own `systemd:` endpoints read the environment when they are imported, and take a descriptor for what its
endpoint says it is.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING

from attrs import define, frozen
from twisted.logger import Logger

from egress.errors import ConfigError
from egress.service.listen.endpoint import SystemdEndpoint
from egress.service.listen.sockets import BoundSocket, spell

if TYPE_CHECKING:
    from egress.transports.engine.engine import Engine

_FIRST = 3  # SD_LISTEN_FDS_START

# The name of sockets without one, as sd_listen_fds_with_names(3) gives it.
_NAMELESS = "unknown"

_FAMILIES = frozenset((socket.AF_INET, socket.AF_INET6, socket.AF_UNIX))

_log = Logger()


@frozen
class ActivationSocket:
    """One descriptor that systemd left open.

    Attributes:
        name: FileDescriptorName= of its unit, which is the unit's own name if there is no such line.
        index: its place among those of this name, from 0.
        descriptor: its number.
    """

    name: str
    index: int
    descriptor: int


@define(eq=False)
class ActivationSockets:
    """What systemd left open, until a listener takes it.

    Attributes:
        waiting: what nobody took yet.
        why_none: said where nothing was left open.
    """

    waiting: list[ActivationSocket]
    why_none: str = "systemd handed no sockets to this process"

    def adopt(self, name: str, endpoint: SystemdEndpoint, where: str, engine: Engine | None = None) -> BoundSocket:
        """Make a listener's socket of the one that its endpoint names.

        Args:
            name: the listener's.
            endpoint: which one.
            where: the key path of the endpoint.
            engine: serves TCP sockets; None leaves them to the reactor.

        Raises:
            ConfigError: there is no such socket, or it is not one that clients can connect to.
        """
        offer = self._take(endpoint, where)
        try:
            listening = socket.socket(fileno=offer.descriptor)
        except OSError as error:
            raise ConfigError(where, f"what systemd calls {offer.name!a} is not a socket: {error.strerror}")
        try:
            return _bound(name, listening, engine)
        except (OSError, ValueError) as error:
            listening.close()
            raise ConfigError(where, f"what systemd calls {offer.name!a} cannot be served: {error}")

    def close_rest(self) -> None:
        """Close what no listener took, so that no client waits there for nothing but systemd's own queue."""
        waiting, self.waiting = self.waiting, []
        for offer in waiting:
            _log.warn("systemd handed a socket called {name!a}, which no listener names", name=offer.name)
            try:
                os.close(offer.descriptor)
            except OSError:
                continue  # it never was one

    def _take(self, endpoint: SystemdEndpoint, where: str) -> ActivationSocket:
        named = [offer for offer in self.waiting if offer.name == endpoint.name]
        if endpoint.index is not None:
            named = [offer for offer in named if offer.index == endpoint.index]
        if not named:
            raise ConfigError(where, self._explain(endpoint))
        if len(named) > 1:
            raise ConfigError(
                where,
                f"systemd handed {len(named)} sockets called {endpoint.name!a}; say which: "
                f"systemd:{endpoint.name}:index={named[0].index}",
            )
        self.waiting.remove(named[0])
        return named[0]

    def _explain(self, endpoint: SystemdEndpoint) -> str:
        if not self.waiting:
            return self.why_none
        which = endpoint.name if endpoint.index is None else f"{endpoint.name}:index={endpoint.index}"
        names = ", ".join(dict.fromkeys(ascii(offer.name) for offer in self.waiting))
        return f"systemd handed no socket {which!a} that is not taken; there are {names} (FileDescriptorName=)"


def _bound(name: str, listening: socket.socket, engine: Engine | None) -> BoundSocket:
    if listening.type != socket.SOCK_STREAM or listening.family not in _FAMILIES:
        raise ValueError("it is neither a TCP nor a unix stream socket (ListenStream=)")
    if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ValueError("it does not listen (Accept=no is needed)")
    listening.setblocking(False)
    place = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        # Python gives the name of an abstract socket as bytes.
        path = f"@{os.fsdecode(place[1:])}" if isinstance(place, bytes) else place
        return BoundSocket(name, listening, f"unix:{path}", mode=None)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = place[:2]
    return BoundSocket(name, listening, spell(host, port), (host, port), engine=engine)


def read_activation_sockets(environment: MutableMapping[str, str]) -> ActivationSockets:
    """Read which descriptors systemd left open.

    The variables are taken out of the environment and the descriptors are closed to programs that are started later.

    Args:
        environment: `os.environ`.
    """
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "")
    if not pid and not count:
        return ActivationSockets([])
    if pid != str(os.getpid()):
        return ActivationSockets([], "LISTEN_PID is not this process: systemd handed its sockets to another one")
    if not (count.isascii() and count.isdigit() and len(count) < 6):
        return ActivationSockets([], "LISTEN_FDS is not a number: what systemd handed over cannot be known")
    return ActivationSockets(number(names.split(":") if names else [], range(_FIRST, _FIRST + int(count))))


def number(names: Sequence[str], descriptors: range) -> list[ActivationSocket]:
    """Number the descriptors of each name, and close them to programs that are started later.

    Args:
        names: of the first so many; those that follow, and those called "", have none.
        descriptors: one after the other.
    """
    activation_sockets: list[ActivationSocket] = []
    met: dict[str, int] = {}
    for at, descriptor in enumerate(descriptors):
        name = names[at] if at < len(names) and names[at] else _NAMELESS
        index = met.get(name, 0)
        met[name] = index + 1
        activation_sockets.append(ActivationSocket(name, index, descriptor))
        try:
            os.set_inheritable(descriptor, False)
        except OSError:
            continue  # whoever names it is told
    return activation_sockets
