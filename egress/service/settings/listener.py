"""The `[[listener]]` tables."""

from __future__ import annotations

from attrs import field, frozen

from egress.config.validators import check_name
from egress.errors import ConfigError
from egress.identity import Requirement


@frozen
class ListenerTlsSettings:
    """A `[listener.tls]` table: the listener accepts TLS 1.2 or later, with HTTP inside.

    Paths are relative to the directory of the configuration file.

    Attributes:
        certificate: a PEM file with the certificate and its chain. "" for a listener without TLS.
        key: the PEM file of the certificate's key, which only the owner and the group may read; "" where the key is in
            the file of the certificate.
        client_ca: a PEM file with the authorities of clients' certificates. "" to request no client certificate.
    """

    certificate: str = ""
    key: str = ""
    client_ca: str = ""

    def __attrs_post_init__(self) -> None:
        for name, value in (("key", self.key), ("client_ca", self.client_ca)):
            if value and not self.certificate:
                raise ConfigError(name, "means nothing without `certificate`")


@frozen
class ListenerSettings:
    """A `[[listener]]` table: one socket to which clients connect.

    Attributes:
        name: the listener's name, unique among listeners. Clients have the label `listener:NAME`, and the audit log
            contains the name.
        endpoint: the address of the socket: `tcp:PORT[:interface=ADDRESS]`, `tcp6:PORT[:interface=ADDRESS]`,
            `unix:PATH[:mode=600]` or `systemd:NAME[:index=0]`. Without `interface`, every address of this machine. A
            colon inside a value is written with a backslash before it. Port 0 is any free port.
        via: the route of the listener's requests: an upstream's name, "direct", "environment" or "refuse"; "" for the
            default route.
        require: "basic" accepts only requests with credentials, by Basic or Bearer; "certificate" only connections with
            a client certificate; "none" accepts both but requires neither.
        tokens: a file of the clients' names and the hashes of their tokens: lines of `name:hash`, made by
            `egress token`. The file is read again when it changes. "" to ignore credentials.
        allow_plaintext_tokens: whether tokens may cross a network in the clear; required where the listener is not on a
            loopback address and has no TLS.
        tls: the listener's certificate and key, and the authorities of clients' certificates.
    """

    name: str = field(validator=check_name)
    endpoint: str
    via: str = ""
    require: Requirement = "none"
    tokens: str = ""
    allow_plaintext_tokens: bool = False
    tls: ListenerTlsSettings = field(factory=ListenerTlsSettings)
