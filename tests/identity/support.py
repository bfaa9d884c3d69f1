"""Helpers of the tests of identification."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.identity import FailureLimit, Identifier, ListenerAuthentication, Requirement, SecretChecks, open_tokens

SECRET = b"correct horse battery"
# The cheapest hash of SECRET that is allowed.
QUICK = "scrypt$n=16384,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$ebnHHTApWa0oNoXTYCCHxLXDaejcvcTRQhZaD1OJNCE"

TOKEN = "egr_" + "A" * 43
OTHER_TOKEN = "egr_" + "B" * 43


def generated_line(name: str, token: str = TOKEN) -> str:
    """Write a line for a generated token."""
    return f"{name}:sha256${sha256(token.encode()).hexdigest()}\n"


def basic(name: str, secret: str) -> bytes:
    """Write a Proxy-Authorization."""
    return b"Basic " + b64encode(f"{name}:{secret}".encode())


@define(eq=False)
class Bench:
    """Takes jobs, and does them when it is told to."""

    jobs: list[tuple[Callable[[], bool], Deferred[bool]]] = field(factory=list)
    done: int = 0

    def __call__(self, job: Callable[[], bool]) -> Deferred[bool]:
        """Take a job."""
        result: Deferred[bool] = Deferred()
        self.jobs.append((job, result))
        return result

    def work(self) -> None:
        """Do the job that was taken first."""
        job, result = self.jobs.pop(0)
        self.done += 1
        result.callback(job())

    def work_all(self) -> None:
        """Do all, those too that come meanwhile."""
        while self.jobs:
            self.work()


class CallersCase(SynchronousTestCase):
    """A tokens file, a clock, and a bench for what takes long."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.clock = Clock()
        self.bench = Bench()
        self.failures = FailureLimit(self.clock, per_minute=5)
        self.checks = SecretChecks(self.bench, self.failures, waiting=3)

    def write(self, *lines: str) -> None:
        """Put another tokens file in the place of the one there."""
        fresh = Path(self.mktemp())
        fresh.write_text("".join(lines), "ascii")
        fresh.chmod(0o600)
        fresh.replace(self.path)

    def identifier(self, *lines: str, require: Requirement = "none", capacity: int = 4096) -> Identifier:
        """Make an identifier whose listener `agents` has a tokens file with these lines."""
        self.write(*lines)
        asking = ListenerAuthentication(require, open_tokens(str(self.path), self.clock, "listener[0].tokens"))
        return Identifier({"agents": asking, "open": ListenerAuthentication()}, self.checks, capacity)
