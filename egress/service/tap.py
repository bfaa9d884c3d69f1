"""What `twistd egress-proxy` calls."""

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
from egress.service.settings.settings import load
from egress.service.supervisor import make_supervisor


class Options(usage.Options):
    """The options of `twistd egress-proxy`."""

    synopsis = "[options]"
    longdesc = (
        "A forward proxy for AI agents' sandboxes: nothing goes out but what a rule allows, and everything is on "
        "record. Without --config it listens on 127.0.0.1:3128 and allows only what --allow names."
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
        """Listen here instead: tcp:3128:interface=127.0.0.1, unix:/run/egress/proxy server; may be repeated."""
        self["listen"].append(endpoint)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse; what is wrong is said in one line."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            _fail(f"{error}; `twistd egress-proxy --help` lists the options")


def makeService(options: Options) -> IService:
    """Build the service.

    Raises:
        SystemExit: it cannot be built; holds one line that says why. Any other exception would print a traceback.
    """
    make_undumpable()
    from twisted.internet import reactor

    activation_sockets, notifier = read_activation_sockets(os.environ), read_notifier(reactor, os.environ)
    try:
        source = load(options["config"], options["allow"], options["listen"])
        service = make_supervisor(source, reactor, activation_sockets=activation_sockets, notifier=notifier)
    except ConfigError as error:
        _fail(str(error))
    # Once more, for twistd may have changed its user since, which undoes it.
    reactor.callWhenRunning(make_undumpable)
    # A turn later: it takes its time, and the supervisor has yet to take SIGTERM from the reactor.
    reactor.callWhenRunning(reactor.callLater, 0, _spare_the_collector)
    return service


def _spare_the_collector() -> None:
    """Search for cycles seldom, and never in what was made at the start.

    A request leaves none behind; looking for them all the same cost a twentieth of the CPU (bench/README.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _fail(problem: str) -> NoReturn:
    raise SystemExit("egress-proxy: " + " ".join(problem.split()))
