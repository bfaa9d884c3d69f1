"""What a ClientHello in a tunnel must be."""

from __future__ import annotations

from egress.errors import ProtocolError, Refused
from egress.model import Authority
from egress.proxy.limits import TlsSettings
from egress.wire.client_hello import ClientHello


def has_rule(authority: Authority, tls: TlsSettings) -> bool:
    """Whether anything is asked of a ClientHello, so that one that cannot be read is refused.

    Args:
        authority: the judged destination.
        tls: the settings.
    """
    return tls.ech == "refuse" or _is_name_compared(authority, tls)


def find_refusal(hello: ClientHello, authority: Authority, tls: TlsSettings) -> tuple[str, Refused] | None:
    """Judge a ClientHello.

    The name is that of an encrypted one's outer hello (ECH). A literal address has no name to compare; there the
    address was judged, and whatever it serves may be reached.

    Args:
        hello: as it was read.
        authority: the judged destination.
        tls: the settings.

    Returns:
        The cause of the tunnel's end, and the refusal; None for a ClientHello that may pass.
    """
    name = hello.server_name
    if name and name != authority.host and _is_name_compared(authority, tls):
        return "server_name", Refused("server_name_refused", "The TLS server name is not the host that was judged.")
    if hello.has_ech and tls.ech == "refuse":
        reason = "The ClientHello has an encrypted one (ECH), whose server name cannot be read."
        return "ech", Refused("ech_refused", reason)
    return None


def unreadable(error: ProtocolError, authority: Authority, tls: TlsSettings) -> Refused:
    """Make the refusal of a ClientHello that cannot be read, where `has_rule`.

    Args:
        error: why not.
        authority: the judged destination.
        tls: the settings.
    """
    code = "server_name_refused" if _is_name_compared(authority, tls) else "ech_refused"
    return Refused(code, error.sentence)


def _is_name_compared(authority: Authority, tls: TlsSettings) -> bool:
    return tls.sni == "enforce" and authority.address is None
