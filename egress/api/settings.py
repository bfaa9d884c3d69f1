"""The `[status]` table."""

from __future__ import annotations

from attrs import Attribute, field, frozen

from egress.hostname import canonical_host


def _check_hosts(_instance: object, _attribute: Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    for host in value:
        try:
            name, address = canonical_host(host)
        except ValueError as error:
            raise ValueError(f"holds {host!a}: {error}")
        if address is not None:
            raise ValueError(f"holds {host!a}: addresses are known without being named")
        if name != host:
            raise ValueError(f"holds {host!a}, which is written {name!a}")


@frozen
class StatusSettings:
    """Where operators are told how it is.

    Attributes:
        endpoint: where `/livez`, `/readyz` and `/metrics` are served, spelled as that of a listener. "" is nowhere.
        hosts: by which names it may be asked, besides addresses and localhost: a web page that makes a name of its own
            lead here gets nothing.
    """

    endpoint: str = ""
    hosts: tuple[str, ...] = field(default=(), validator=_check_hosts)
