"""The listening side of TLS (RFC 8446, RFC 5246)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field
from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

# For TLS 1.2; those of 1.3 are all of this kind: forward secrecy, and nothing but authenticated encryption.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"


@implementer(IOpenSSLServerConnectionCreator)
@define(eq=False)
class ServerTls:
    """TLS of one listener.

    Attributes:
        context: what its connections have in common. Another one counts for the connections that come after it.
    """

    context: SSL.Context = field(repr=False)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Prepare TLS of one connection (IOpenSSLServerConnectionCreator)."""
        return SSL.Connection(self.context)


def make_context(
    chain: Sequence[x509.Certificate],
    key: Any,
    authorities: Sequence[x509.Certificate] = (),
    *,
    is_required: bool = False,
) -> SSL.Context:
    """Set TLS up.

    Args:
        chain: our certificate, and then those above it.
        key: the private key of the first.
        authorities: from which a client's certificate may come; none to ask for no certificate.
        is_required: whoever shows no certificate gets no connection.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_TICKET
    )
    # A session that is taken up again would stand for a certificate that nobody has looked at since.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # An idle tunnel keeps no buffers.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(_CIPHERS)
    context.set_alpn_select_callback(_select_protocol)
    own, *above = chain
    context.use_certificate(own)
    context.use_privatekey(key)
    for each in above:
        context.add_extra_chain_cert(each)
    if authorities:
        store = context.get_cert_store()
        assert store is not None, "a context of our own has a store"
        # Many companies hand out an authority that another one has signed: what the operator named is trusted as it is.
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
        for authority in authorities:
            store.add_cert(crypto.X509.from_cryptography(authority))
            # Clients that have several certificates choose by these names.
            context.add_client_ca(authority)
        context.set_verify(SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if is_required else 0))
    return context


def _select_protocol(_connection: SSL.Connection, offered: list[bytes]) -> Any:
    """Choose HTTP/1.1 where it is offered; whoever offers other things only learns by the answer (RFC 7301)."""
    return b"http/1.1" if b"http/1.1" in offered else SSL.NO_OVERLAPPING_PROTOCOLS
