"""TLS: contexts of listeners and upstreams, PEM files, the meaning of errors, and the names in certificates."""

from egress.tls.contexts import ServerTls, TrustedAuthorities, UpstreamTls
from egress.tls.files import OwnCertificate, load_authorities, load_certificate
from egress.tls.subject import name_of

__all__ = [
    "OwnCertificate",
    "ServerTls",
    "TrustedAuthorities",
    "UpstreamTls",
    "load_authorities",
    "load_certificate",
    "name_of",
]
