"""The smallest rules that would have let the refused requests of an audit log pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import NamedTuple

_SUGGESTED_CODE = "no_rule"


class Refusals(NamedTuple):
    """What an audit log says of its requests.

    Attributes:
        requests: the number of requests.
        refused: host, port and code of the refused ones, with their number.
    """

    requests: int
    refused: Counter[tuple[str, int, str]]


def count(events: Iterable[Mapping[str, object]]) -> Refusals:
    """Count the requests of an audit log, and the refused ones by destination and code."""
    requests = 0
    refused: Counter[tuple[str, int, str]] = Counter()
    for event in events:
        name, many = event.get("event"), event.get("count", 1)
        if name not in ("end", "refused", "repeated") or not isinstance(many, int):
            continue
        requests += many
        host, port, code = event.get("server_address"), event.get("server_port"), event.get("code")
        if name != "end" and isinstance(host, str) and isinstance(port, int) and isinstance(code, str):
            refused[host, port, code] += many
    return Refusals(requests, refused)


def suggest(refusals: Refusals) -> list[str]:
    """Return the values of `--allow` that would have let the refused requests pass, the most wanted first.

    Only what no rule named is suggested, and only names: a deny rule and the SSRF guard had a reason, and an address is
    not what a program means.
    """
    return [
        f"{host}:{port}"
        for (host, port, code), _ in refusals.refused.most_common()
        if code == _SUGGESTED_CODE and host and not _is_address(host)
    ]


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
