"""An origin that authenticates connections, as IIS, Exchange and TFS do."""

from __future__ import annotations

import re

from attrs import define, field

from egress.testing.peers import NetworkPeer

_TOKENS = re.compile(rb"\r\nAuthorization: (?:NTLM|Negotiate) (\w+)")


@define(eq=False)
class NtlmOrigin:
    """Answers 401 until a connection was authenticated, then everything under that identity.

    A handshake has two requests: `hello-NAME` is answered by a challenge of its connection, `proof-NAME` on that very
    connection authenticates it.

    Attributes:
        served: connection, path and identity of every request that was answered 200.
        offers: the schemes that a challenge offers.
    """

    served: list[tuple[int, str, str]] = field(factory=list)
    offers: str = "NTLM"
    _peers: list[NetworkPeer] = field(factory=list)
    _begun: dict[int, str] = field(factory=dict)
    _identities: dict[int, str] = field(factory=dict)

    def answer(self, peer: NetworkPeer, data: bytes) -> None:
        """Answer one request."""
        if peer not in self._peers:
            self._peers.append(peer)
        number = self._peers.index(peer)
        found = _TOKENS.search(data)
        kind, _, name = found[1].decode().partition("_") if found else ("", "", "")
        if kind == "hello":
            self._identities.pop(number, None)
            self._begun[number] = name
            peer.says(self._refusal(f"{self.offers} challenge"))
            return
        if kind == "proof" and self._begun.pop(number, None) == name:
            self._identities[number] = name
        elif kind:
            self._identities.pop(number, None)
        identity = self._identities.get(number)
        if identity is None:
            peer.says(self._refusal(self.offers))
            return
        path = data.split(b" ")[1].decode()
        self.served.append((number, path, identity))
        peer.says(f"HTTP/1.1 200 OK\r\nContent-Length: {len(identity)}\r\n\r\n{identity}".encode())

    def _refusal(self, challenge: str) -> bytes:
        return f"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n".encode()
