"""The SSRF guard: refuses reserved names and addresses that are not public.

The guard runs after the policies' ALLOW and never allows a request by itself. Only the matched rule can admit an
address that the guard refuses: by the rule's `addresses`, or by a literal address in the rule's `hosts`.
"""

from __future__ import annotations

from ipaddress import ip_network

from attrs import frozen
from zope.interface import implementer

from egress.errors import Refused
from egress.interfaces import IGuard
from egress.match import NetworkSet, embedded_ipv4
from egress.model import Address, Authority, Verdict
from egress.policy.addresses import METADATA_ADDRESSES, RESERVED_NAMES, SPECIAL_NETWORKS, TRANSPARENT_NETWORKS

GUARD_NAME = "ssrf-guard"
"""The guard's name in responses, log lines and metrics, in place of a policy's name. No policy may have this name."""

# The networks include the metadata addresses, because some metadata addresses are public.
_suspects = NetworkSet.of([special.network for special in SPECIAL_NETWORKS] + [*map(ip_network, METADATA_ADDRESSES)])
_transparent = NetworkSet.of(TRANSPARENT_NETWORKS)


@frozen
class GuardSettings:
    """The table `[guard]`.

    Attributes:
        enabled: whether the guard refuses addresses; false permits every address, metadata addresses included.
    """

    enabled: bool = True


@implementer(IGuard)
@frozen
class Guard:
    """Refuses reserved names and addresses that are not public.

    Attributes:
        settings: the table `[guard]`.
    """

    settings: GuardSettings = GuardSettings()

    def check_name(self, authority: Authority, verdict: Verdict) -> None:
        """Judge a name before it is looked up. Literal addresses are judged by `check_addresses` instead.

        Raises:
            Refused: name_refused.
        """
        host = authority.host
        if host not in RESERVED_NAMES and not host.endswith(".localhost"):
            return
        if self.settings.enabled and not (verdict.pattern == host and verdict.admits):
            raise Refused(
                "name_refused",
                "This name is reserved for the machine itself or for cloud metadata; only a rule that lists this "
                "exact name in `hosts` and has `addresses` admits it.",
                policy=GUARD_NAME,
                detail=_allowed_by(verdict),
            )

    def check_addresses(self, authority: Authority, addresses: tuple[Address, ...], verdict: Verdict) -> None:
        """Judge every address of a name. A single address that may not be dialled refuses the request.

        Raises:
            Refused: address_refused. The reason names no address, the detail does.
        """
        if not self.settings.enabled:
            return
        for address in addresses:
            if _suspects.contains(address):
                _judge(authority, address, verdict)


def _judge(authority: Authority, address: Address, verdict: Verdict) -> None:
    """Judge an address of the special networks or a metadata address."""
    embedded = embedded_ipv4(address)
    same: tuple[Address, ...] = (address, *embedded) if _transparent.contains(address) else (address,)
    # Every embedded IPv4 address is judged, including those of rarely used transition mechanisms.
    if not METADATA_ADDRESSES.isdisjoint((address, *embedded)):
        if not any(ip_network(spelling) in verdict.admits for spelling in same):
            key = "in `hosts`" if authority.address is not None else "in `addresses`, as /32 or /128,"
            raise Refused(
                "address_refused",
                f"It is a cloud metadata address; only a rule that lists this exact address {key} admits it.",
                policy=GUARD_NAME,
                detail=f"{address} is, or carries, a metadata address; {_allowed_by(verdict)}",
            )
        return
    if not any(_suspects.contains(spelling) for spelling in same[1:] or same):
        return
    if any(spelling in network for network in verdict.admits for spelling in same):
        return
    if authority.address is not None:
        reason = "The address is not public; a rule admits it by listing it, or its network, in `hosts`."
    else:
        reason = (
            "The name leads to an address that is not public; a rule admits such an address by its key `addresses`."
        )
    raise Refused(
        "address_refused",
        reason,
        policy=GUARD_NAME,
        detail=f"{address} is {_describe(same[-1])}; {_allowed_by(verdict)}",
    )


def _allowed_by(verdict: Verdict) -> str:
    """Name the rule that had allowed the request, because the operator may have to amend that rule."""
    return f"allowed by {verdict.policy}{' / ' if verdict.rule else ''}{verdict.rule}"


def _describe(address: Address) -> str:
    """Describe the smallest special network that contains an address."""
    special = max(
        (special for special in SPECIAL_NETWORKS if address in special.network),
        key=lambda special: special.network.prefixlen,
    )
    return f"in {special.network} ({special.name}, {special.source})"
