"""What every misbehaving client of the soak has."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from attrs import frozen

from tests.live.soak.comparison import Comparison, Expectation, Outcome, Range
from tests.live.soak.entrance import Entrance, Response, read_response
from tests.live.soak.good_origin import GoodOrigin
from tests.live.soak.misbehaving_origins import NOTE, MisbehavingOrigins
from tests.live.soak.server import address_of
from tests.live.soak.streams import Stream


@frozen
class Circumstances:
    """The listener of one action, and what all clients share.

    Attributes:
        comparison: what it tells its expectations.
        origin: an origin that behaves.
        origins: those that do not.
        entrance: the listener.
        entrances: all listeners.
        temporary: the listener that comes and goes.
        rng: of the client.
    """

    comparison: Comparison
    origin: GoodOrigin
    origins: MisbehavingOrigins
    entrance: Entrance
    entrances: Mapping[str, Entrance]
    temporary: Entrance
    rng: random.Random

    def fail(self, fault: str) -> None:
        """Note what the client saw and should not have seen."""
        self.comparison.fail(f"by {self.entrance.listener}: {fault}")

    def check_status(self, response: Response, expected: int) -> None:
        """Note another status than the expected one."""
        if response.status != expected:
            self.fail(f"status {response.status} in place of {expected}")

    def head(self, method: str, serial: int, port: int, path: str = "/length/0", more: bytes = b"") -> bytes:
        """Make the head of a plain request, whose origin notes that it has come."""
        return self.entrance.head(method, f"http://127.0.0.1:{port}/{serial}{path}", more + NOTE)

    def open_tunnel(self, stream: Stream, serial: int, port: int) -> None:
        """Open a tunnel."""
        stream.send(self.entrance.head("CONNECT", f"{address_of(serial)}:{port}"))
        self.check_status(read_response(stream), 200)
        stream.open_tunnel()

    def await_begun(self, serial: int) -> None:
        """Wait until a request has reached an origin that notes it."""
        if not self.origins.await_begun(serial):
            self.fail(f"request {serial} did not reach its origin")

    def expect(
        self,
        kind: str,
        method: str,
        serial: int,
        outcomes: tuple[Outcome, ...],
        *,
        client_bytes: Range = (0, 0),
        server_bytes: Range = (0, 0),
        is_certain: bool = True,
    ) -> None:
        """Say what the line of an admitted request must hold."""
        facts = {**self.entrance.facts(method), "verdict": "allow"}
        self.comparison.expect(Expectation(serial, kind, outcomes, client_bytes, server_bytes, facts, is_certain))


Way = Callable[[Circumstances], None]
"""One way to misbehave."""
