"""The private parts of Twisted that egress relies on: names, places of use, and versions."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any, cast

from twisted.internet import tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols import tls
from twisted.trial.unittest import SynchronousTestCase

from egress.testing.network import Network
from twisted import __version__

CHECKED_VERSIONS = ("26.10.0",)
"""The versions of Twisted whose source was read for this, and with which the tests of transports passed."""

# What is called or overridden, by the class that has it. The values are the parameters after self.
METHODS: dict[type, dict[str, list[str]]] = {
    tls.TLSMemoryBIOProtocol: {
        "_flushReceiveBIO": [],
        "_flushSendBIO": [],
        "_shutdownTLS": [],
        "_tlsShutdownFinished": ["reason"],
    },
    tcp.Connection: {"writeSomeData": ["data"], "_closeWriteConnection": []},
    tcp.BaseClient: {"createInternetSocket": []},
    tcp.Port: {"createInternetSocket": []},
    tcp.Connector: {"_makeTransport": []},
}

# What is read or set, and a method of that class whose source sets or reads it.
ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "_tempDataBuffer": (FileDescriptor.write, FileDescriptor.doWrite),
    "_tempDataLen": (FileDescriptor.write, FileDescriptor.doWrite),
    "dataBuffer": (FileDescriptor.doWrite,),
    "streamingProducer": (FileDescriptor.doWrite,),
    "TLS": (tcp._TLSConnectionMixin.write,) if hasattr(tcp, "_TLSConnectionMixin") else (tcp.Connection.write,),
    "_aborted": (tls.TLSMemoryBIOProtocol._flushReceiveBIO, tls.TLSMemoryBIOProtocol.abortConnection),
    "_appSendBuffer": (tls.TLSMemoryBIOProtocol._bufferedWrite, tls.TLSMemoryBIOProtocol._unbufferPendingWrites),
    "_lostTLSConnection": (tls.TLSMemoryBIOProtocol._flushReceiveBIO, tls.TLSMemoryBIOProtocol._write),
    "_tlsConnection": (tls.TLSMemoryBIOProtocol._shutdownTLS,),
    "wrappedProtocol": (tls.TLSMemoryBIOProtocol._checkHandshakeStatus,),
    "_preexistingSocket": (tcp.Port.startListening,),
    "_shouldShutdown": (tcp._SocketCloser._closeSocket,),
}

ROOT = Path(__file__).resolve().parents[2] / "egress"

# These begin with an underscore and are used on other objects. Everything private of Twisted stays in the package
# that is named here. The fakes of egress.testing are subclasses of Twisted's transports.
PACKAGES = ("transports", "testing")


def uses_of_private_names(path: Path) -> list[str]:
    """Say where a module uses one of the private names."""
    names = {name for name in [*ATTRIBUTES, *(name for each in METHODS.values() for name in each)] if name[0] == "_"}
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.attr}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in names
    ]


class Remembering(Factory[Protocol]):
    """Remembers the last protocol that it made."""

    made: Protocol

    def buildProtocol(self, _address: object) -> Protocol:
        """Make one."""
        self.made = Protocol()
        return self.made


class TwistedInternalsTests(SynchronousTestCase):
    """What egress knows of Twisted beyond its interfaces."""

    def test_version(self) -> None:
        """The installed version is one that was checked."""
        self.assertIn(
            __version__,
            CHECKED_VERSIONS,
            "egress/transports overrides private parts of Twisted, and this version was not checked. If the other "
            "tests of this module, tests/transports, tests/proxy/client/test_tls.py and "
            "tests/live/test_tls_inside.py pass with it, add it to CHECKED_VERSIONS.",
        )

    def test_methods(self) -> None:
        """Every method exists where it is overridden or called, with these parameters."""
        for owner, methods in METHODS.items():
            for name, parameters in methods.items():
                found = list(inspect.signature(getattr(owner, name)).parameters)
                self.assertEqual(["self", *parameters], found, f"{owner.__name__}.{name}")

    def test_attributes(self) -> None:
        """Every attribute is used by the methods of Twisted that give it its meaning."""
        for name, methods in ATTRIBUTES.items():
            for method in methods:
                self.assertIn(f"self.{name}", inspect.getsource(method), f"{name} in {method.__qualname__}")

    def test_unix_sockets(self) -> None:
        """Unix socket transports are TCP transports, with another way to send."""
        self.assertTrue(issubclass(unix.Server, tcp.Connection))
        self.assertTrue(issubclass(unix.Client, tcp.Connection) or issubclass(unix.Client, tcp.BaseClient))

    def test_buffers(self) -> None:
        """What waits is in `_tempDataBuffer` until `doWrite` moves it to `dataBuffer`."""
        network = Network(window_bytes=1024)
        factory = Remembering()
        network.listen("127.0.0.1", 1, factory)
        peer = network.dial("127.0.0.1", 1)
        network.settle()
        transport = cast(Any, factory.made.transport)
        peer.stops_reading()

        transport.write(b"x" * 5000)
        self.assertEqual((b"", 5000), (transport.dataBuffer, transport._tempDataLen))
        self.assertEqual([b"x" * 5000], transport._tempDataBuffer)
        network.settle()
        self.assertEqual((5000, 0, []), (len(transport.dataBuffer), transport._tempDataLen, transport._tempDataBuffer))
        peer.reads_again()
        network.settle()
        self.assertEqual((b"", 0), (transport.dataBuffer, transport._tempDataLen))

    def test_write_some_data(self) -> None:
        """`writeSomeData` sends at once, and returns the number of octets or an exception."""
        network = Network(window_bytes=1024)
        factory = Remembering()
        network.listen("127.0.0.1", 1, factory)
        network.dial("127.0.0.1", 1)
        network.settle()
        transport = cast(Any, factory.made.transport)

        self.assertEqual(1024, transport.writeSomeData(b"x" * 5000))
        self.assertEqual(0, transport.writeSomeData(b"x"))

    def test_where(self) -> None:
        """No other package touches them."""
        modules = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in PACKAGES]
        self.assertEqual([], [use for path in modules for use in uses_of_private_names(path)])
