"""Binds listening sockets, which the engine or the reactor serves afterwards."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define
from twisted.internet import tcp, unix
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from egress.errors import ConfigError
from egress.service.listen.endpoint import TcpEndpoint, UnixEndpoint
from egress.service.listen.unix_path import short_name
from egress.transports.descriptor_ceiling import DescriptorCeiling
from egress.transports.keepalive import OptionSocket, set_keepalive
from egress.transports.twisted_port import BackoffSocket

if TYPE_CHECKING:
    from egress.transports.engine.engine import Engine
    from egress.transports.engine.port import Port

BACKLOG = 4096


class ListeningSocket(Protocol):
    """A listener's socket. Tests have an implementation in memory.

    Attributes:
        name: the listener's name.
        address: the address for messages.
        own: the IP address and port of the socket; None for a unix socket.
        pauses: the number of pauses for lack of descriptors or memory.
    """

    name: str
    address: str
    own: tuple[str, int] | None

    @property
    def pauses(self) -> int:
        """The number of pauses so far."""

    def serve(self, reactor: Any, factory: IProtocolFactory) -> IListeningPort:
        """Begin to accept connections."""

    def keep_alive(self, seconds: int) -> None:
        """Have the connections that are accepted from now on probed. See `egress.transports.keepalive`."""

    def close(self) -> None:
        """Close the socket, and remove the file of a unix socket."""


@define(eq=False)
class BoundSocket:
    """A listening socket, in whose queue clients wait until it is served.

    Attributes:
        name: the listener's name.
        socket: the non-blocking socket.
        address: the address for messages: `127.0.0.1:3128` or `unix:/run/egress/proxy.sock`.
        own: the IP address and port that the kernel assigned; None for a unix socket.
        mode: the permissions of a unix socket; None where systemd has set them.
        inode: the device and inode of a unix socket's file, so that no other file is removed.
        engine: the engine that serves a TCP socket; None for the reactor.
        ceiling: the ceiling of the descriptors of connections, if the reactor serves the socket; None for no ceiling.
    """

    name: str
    socket: socket.socket
    address: str
    own: tuple[str, int] | None = None
    mode: int | None = None
    inode: tuple[int, int] | None = None
    engine: Engine | None = None
    ceiling: DescriptorCeiling | None = None
    _served: Port | BackoffSocket | None = None
    _listening: OptionSocket | None = None

    @property
    def pauses(self) -> int:
        """The number of pauses for lack of descriptors or memory."""
        return self._served.pauses if self._served is not None else 0

    def serve(self, reactor: Any, factory: IProtocolFactory) -> IListeningPort:
        """Serve a duplicate of the socket by the engine or the reactor, and close the original.

        Args:
            reactor: IReactorSocket; for a unix socket also IReactorFDSet.
            factory: builds the protocols of the connections.
        """
        port: IListeningPort
        if self.own is not None and self.engine is not None:
            self._listening = self.socket.dup()
            port = self._served = self.engine.listen(self._listening, factory)
        else:
            patient = self._listening = self._served = BackoffSocket(os.dup(self.socket.fileno()), self.ceiling)
            if self.own is None:
                twisted_port: tcp.Port = _UnixPort(self.address.removeprefix("unix:"), self.mode, factory, reactor)
            else:
                twisted_port = tcp.Port(self.own[1], factory, BACKLOG, self.own[0], reactor)
            patient.serve(reactor, twisted_port)
            port = twisted_port
        self.socket.close()
        return port

    def keep_alive(self, seconds: int) -> None:
        """Have accepted TCP connections probed: they inherit it on Linux. See `ListeningSocket.keep_alive`."""
        if self.own is not None:
            with suppress(OSError):  # a port that has failed is closed
                set_keepalive(self._listening or self.socket, seconds)

    def close(self) -> None:
        """Close the socket if it was not served, and remove a unix socket's file."""
        self.socket.close()
        if self.inode is not None:
            path = self.address.removeprefix("unix:")
            try:
                facts = os.lstat(path)
                if (facts.st_dev, facts.st_ino) == self.inode:
                    os.unlink(path)
            except OSError:
                return  # The file does not exist, or its directory is no longer accessible.


class _UnixPort(unix.Port):
    """Serves a listening unix socket.

    `adoptStreamPort` would temporarily set mode 666 on the socket's file.
    """

    def __init__(self, path: str, mode: int | None, factory: IProtocolFactory, reactor: Any) -> None:
        # Twisted changes no mode of a name that is not in the file system. Where `mode` is None, systemd has set the
        # mode.
        name = b"\0" if mode is None else os.fsencode(path)
        super().__init__(name, factory, BACKLOG, mode or 0, reactor)

    def connectionLost(self, reason: Failure) -> None:
        """Close the port. `BoundSocket.close` removes the file."""
        tcp.Port.connectionLost(self, reason)


def bind(name: str, endpoint: TcpEndpoint | UnixEndpoint, where: str, engine: Engine | None = None) -> BoundSocket:
    """Bind and listen.

    Args:
        name: the listener's name.
        endpoint: the endpoint to bind.
        where: the key path of the endpoint.
        engine: the engine that serves TCP sockets; None for the reactor.

    Raises:
        ConfigError: the address is in use, or this user may not bind it.
    """
    if isinstance(endpoint, TcpEndpoint):
        return _bind_tcp(name, endpoint, where, engine)
    return _bind_unix(name, endpoint, where)


def _bind_tcp(name: str, endpoint: TcpEndpoint, where: str, engine: Engine | None) -> BoundSocket:
    host, port = str(endpoint.address), endpoint.port
    listening = socket.socket(socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # On Linux accepted sockets inherit the option, which saves a system call for each.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if endpoint.address.version == 6:
            # "::" means every address, IPv4 included, regardless of net.ipv6.bindv6only (RFC 3493 section 5.3).
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind((host, port))
        # With SO_REUSEADDR two sockets may be bound to one port; only the second `listen` fails.
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(where, _explain(error, spell(host, port)))
    real: int = listening.getsockname()[1]
    return BoundSocket(name, listening, spell(host, real), (host, real), engine=engine)


def spell(host: str, port: int) -> str:
    """Format an address and a port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _explain(error: OSError, place: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use; stop what uses it, or listen elsewhere"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{place} is not an address of this machine"
    if error.errno == errno.EACCES:
        return f"{place} may not be bound by this user"
    return f"{place} cannot be bound: {error.strerror}"


def _bind_unix(name: str, endpoint: UnixEndpoint, where: str) -> BoundSocket:
    path = endpoint.path
    _remove_stale(path, where)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        with short_name(path) as name_in_reach:
            listening.bind(name_in_reach)
        # No client can connect before the socket listens, so the mode is set before that.
        os.chmod(path, endpoint.mode)
        listening.listen(BACKLOG)
        facts = os.lstat(path)
    except OSError as error:
        listening.close()
        raise ConfigError(where, _explain(error, f"unix:{path}"))
    return BoundSocket(name, listening, f"unix:{path}", None, endpoint.mode, (facts.st_dev, facts.st_ino))


def _remove_stale(path: str, where: str) -> None:
    """Remove the file of a unix socket without a listening process."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(where, _explain(error, f"unix:{path}"))
    if not stat.S_ISSOCK(mode):
        raise ConfigError(where, f"{path} is there already and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            with short_name(path) as name_in_reach:
                probe.connect(name_in_reach)
        except ConnectionRefusedError:
            pass
        except OSError as error:
            # EAGAIN means a full queue, so a process listens. Other errors do not prove that no process listens.
            problem = "is in use" if error.errno == errno.EAGAIN else f"is there already: {error.strerror}"
            raise ConfigError(where, f"unix:{path} {problem}")
        else:
            raise ConfigError(where, f"unix:{path} is in use")
    try:
        os.unlink(path)
    except OSError as error:
        raise ConfigError(where, f"unix:{path} is stale and cannot be removed: {error.strerror}")
