"""The `[status]` table."""

from __future__ import annotations

from attrs import Attribute, field, frozen

from egress.hostname import canonical_host

CONNECTIONS_LIMIT = 64
"""Connections of the status listener. For one more, the oldest without an answer is reset, so that a probe gets one."""


def _check_hosts(_instance: object, _attribute: Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    for host in value:
        try:
            name, address = canonical_host(host)
        except ValueError as error:
            raise ValueError(f"holds {host!a}: {error}")
        if address is not None:
            raise ValueError(f"holds {host!a}: addresses are always accepted")
        if name != host:
            raise ValueError(f"holds {host!a}, whose canonical form is {name!a}")


@frozen
class StatusSettings:
    """The `[status]` table.

    Attributes:
        endpoint: the endpoint that serves `/livez`, `/readyz` and `/metrics`, in the syntax of a listener; "" for none.
        hosts: the names that a Host field may have, besides addresses and localhost. This prevents DNS rebinding: a
            request of a web page whose name resolves to this listener is refused.
    """

    endpoint: str = ""
    hosts: tuple[str, ...] = field(default=(), validator=_check_hosts)
