"""The command line and the service of `twistd egress-proxy`."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from typing import NoReturn

from twisted.application.service import IService
from twisted.python import usage

from egress.errors import ConfigError
from egress.service.listen.socket_activation import read_activation_sockets
from egress.service.process.notify import read_notifier
from egress.service.process.undumpable import make_undumpable
from egress.service.settings.source import load
from egress.service.supervisor import make_supervisor


class Options(usage.Options):
    """The options of `twistd egress-proxy`."""

    synopsis = "[options]"
    longdesc = (
        "A forward proxy for AI agents' sandboxes: it denies every request that no rule allows, and writes every "
        "request to the audit log. Without --config it listens on 127.0.0.1:3128 and allows only what --allow names."
    )
    optParameters = [["config", "c", None, "Read the settings from this TOML file."]]  # noqa: RUF012  # as twistd wants it

    def __init__(self) -> None:
        super().__init__()
        self["allow"] = []
        self["listen"] = []

    def opt_allow(self, host: str) -> None:
        """Allow HOST or HOST:PORT (80 and 443): a name, *.example.org, an address, a network; may be repeated."""
        self["allow"].append(host)

    def opt_listen(self, endpoint: str) -> None:
        """Listen here instead: tcp:3128:interface=127.0.0.1, unix:/run/egress/agents.sock; may be repeated."""
        self["listen"].append(endpoint)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the options. An error ends the process with one line."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            _fail(f"{error}; `twistd egress-proxy --help` lists the options")


def makeService(options: Options) -> IService:
    """Build the service.

    Raises:
        SystemExit: the service cannot be built. It holds one line; another exception would print a traceback.
    """
    make_undumpable()
    from twisted.internet import reactor

    activation_sockets, notifier = read_activation_sockets(os.environ), read_notifier(reactor, os.environ)
    try:
        source = load(options["config"], options["allow"], options["listen"])
        service = make_supervisor(source, reactor, activation_sockets=activation_sockets, notifier=notifier)
    except ConfigError as error:
        _fail(str(error))
    # Called again, because twistd may have changed the user of the process, which resets the flag.
    reactor.callWhenRunning(make_undumpable)
    # One turn later, because a collection takes time and the supervisor has not yet installed its handler of SIGTERM.
    reactor.callWhenRunning(reactor.callLater, 0, _tune_garbage_collection)
    return service


def _tune_garbage_collection() -> None:
    """Reduce the frequency of garbage collection, and exclude the objects of the start.

    Requests leave no cycles. The default thresholds cost a twentieth of the CPU (bench/README.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _fail(problem: str) -> NoReturn:
    raise SystemExit("egress-proxy: " + " ".join(problem.split()))
