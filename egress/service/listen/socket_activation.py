"""Takes over the sockets that systemd listens on (sd_listen_fds(3)).

Twisted's own `systemd:` endpoints read the environment at import, and do not check the kind of a socket.
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

# The name of sockets without a name (sd_listen_fds_with_names(3)).
_NAMELESS = "unknown"

_FAMILIES = frozenset((socket.AF_INET, socket.AF_INET6, socket.AF_UNIX))

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_kept: dict[str, str] = {}

_log = Logger()


@frozen
class ActivationSocket:
    """One descriptor that systemd passed to this process.

    Attributes:
        name: FileDescriptorName= of the socket unit; by default the name of the unit.
        index: the position among the descriptors with this name, from 0.
        descriptor: the number of the descriptor.
    """

    name: str
    index: int
    descriptor: int


@define(eq=False)
class ActivationSockets:
    """The descriptors that systemd passed to this process.

    Attributes:
        waiting: the descriptors that no listener uses yet.
        why_none: the reason why there are no descriptors, for an error.
    """

    waiting: list[ActivationSocket]
    why_none: str = "systemd handed no sockets to this process"

    def adopt(self, name: str, endpoint: SystemdEndpoint, where: str, engine: Engine | None = None) -> BoundSocket:
        """Make a listener's socket from the descriptor that its endpoint selects.

        Args:
            name: the listener's name.
            endpoint: the endpoint that selects the descriptor.
            where: the key path of the endpoint.
            engine: the engine that serves TCP sockets; None for the reactor.

        Raises:
            ConfigError: there is no such descriptor, or clients cannot connect to it.
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
        """Close the descriptors that no listener uses. systemd still listens on their sockets."""
        waiting, self.waiting = self.waiting, []
        self.why_none = "systemd hands its sockets over at the start only; restart the proxy"
        for offer in waiting:
            _log.warn("systemd handed a socket called {name!a}, which no listener names", name=offer.name)
            try:
                os.close(offer.descriptor)
            except OSError:
                continue  # The descriptor was not open.

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
        # Python returns the name of an abstract socket as bytes.
        path = f"@{os.fsdecode(place[1:])}" if isinstance(place, bytes) else place
        return BoundSocket(name, listening, f"unix:{path}", mode=None)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = place[:2]
    return BoundSocket(name, listening, spell(host, port), (host, port), engine=engine)


def keep_activation_variables(environment: MutableMapping[str, str]) -> None:
    """Take the variables from the environment, for `read_activation_sockets`.

    To be called before twistd looks for plugins. Where the cache of plugins cannot be written, that search imports
    modules of Twisted which remove the variables.
    """
    for name in _VARIABLES:
        value = environment.pop(name, "")
        if value:
            _kept[name] = value


def read_activation_sockets(environment: MutableMapping[str, str]) -> ActivationSockets:
    """Read from the environment which descriptors systemd passed to this process.

    The variables are removed from the environment, and the descriptors become close-on-exec. Where LISTEN_FDS is larger
    than the number of received descriptors, none is used, because the other descriptors are this process's own.

    Args:
        environment: `os.environ`.
    """
    pid, count, names = (environment.pop(name, "") or _kept.pop(name, "") for name in _VARIABLES)
    if not pid and not count:
        return ActivationSockets([])
    if pid != str(os.getpid()):
        return ActivationSockets([], "LISTEN_PID is not this process: systemd handed its sockets to another one")
    if not (count.isascii() and count.isdigit() and len(count) < 6):
        return ActivationSockets([], "LISTEN_FDS is not a number: what systemd handed over cannot be known")
    claimed = range(_FIRST, _FIRST + int(count))
    received = inherited(claimed)
    offers = number(names.split(":") if names else [], received)
    if len(received) < len(claimed):
        why = f"LISTEN_FDS is {len(claimed)}, but this process received only {len(received)}"
        return ActivationSockets([], why)
    return ActivationSockets(offers)


def inherited(descriptors: range) -> range:
    """Return the leading descriptors that this process received from its parent program.

    A descriptor that is open across execve(2) is not close-on-exec. Every descriptor that Python opens is close-on-exec
    (PEP 446), so all others are this process's own, or not open.

    Args:
        descriptors: the candidates in ascending order.
    """
    for at, descriptor in enumerate(descriptors):
        try:
            is_inherited = os.get_inheritable(descriptor)
        except OSError:
            is_inherited = False
        if not is_inherited:
            return descriptors[:at]
    return descriptors


def number(names: Sequence[str], descriptors: range) -> list[ActivationSocket]:
    """Number the descriptors of each name, and make them close-on-exec.

    Args:
        names: the names of the first descriptors. Further descriptors, and descriptors with the name "", have no name.
        descriptors: the descriptors in ascending order.
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
            continue  # The descriptor is not open: a listener that selects it fails.
    return activation_sockets
