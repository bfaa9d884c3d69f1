"""Logs a summary of the configuration and warnings for the operator at the start."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from twisted.logger import Logger

from egress.service.build.summary import allows_nothing, summary
from egress.service.reload.active_configuration import ActiveConfiguration
from egress.service.settings.places import audit_log_places

_log = Logger()


def report_start(configuration: ActiveConfiguration, transports: str, warnings: Sequence[str] = ()) -> None:
    """Log the listeners, the audit log, the policies and the routes, with a warning for each likely mistake.

    Args:
        configuration: the active configuration.
        transports: the implementation of TCP transports: "egress" or "twisted".
        warnings: further warnings.
    """
    prepared, routing = configuration.prepared, configuration.routing
    settings = prepared.source.settings
    for each in configuration.listeners.sockets:
        _log.info("listener {name}: {address}", name=each.name, address=each.address)
        if each.own is not None and not ip_address(each.own[0]).is_loopback:
            _log.warn("listener {name} can be reached by other machines", name=each.name)
    _log.info("TCP connections are served by: {engine}", engine=transports)
    _log.info("audit log: {places}", places=", ".join(audit_log_places(settings)))
    _log.info("{summary}", summary=summary(prepared))
    _log.info("routes: {routing}", routing=routing.summary())
    for warning in (*routing.warnings, *warnings):
        _log.warn("{warning}", warning=warning)
    if not settings.guard.enabled:
        _log.warn("the guard is off: a rule for a name may lead to any address")
    if allows_nothing(prepared):
        _log.info(
            "nothing is allowed, so every request is refused: allow a host with --allow HOST, or write a file "
            "(conf/egress.toml shows every key) and name it with --config; `egress tail` shows what is refused"
        )
