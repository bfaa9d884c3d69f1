"""Arranges the comparison of two configuration files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, field, frozen
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from egress import plugins
from egress.config import structure
from egress.interfaces import IHostServices, IPolicy, IPolicyDescription, IPolicyMaker
from egress.model import Outcome, PolicyRule, Request, Resolution, RuleEffect, Verdict
from egress.policy.registry import build_policies, find_makers
from egress.service.build.configured_policies import ConfiguredPolicy, describe_policies
from egress.service.reload.downgrades import find_downgrades
from egress.service.settings.settings import Settings
from egress.service.settings.source import load
from egress.testing import FakeHost
from egress.testing.policies import FixedPolicy

RULES = """
[[policy]]
kind = "destinations"
[[policy.allow]]
name = "github"
hosts = ["api.github.com", "*.wide.example"]
[[policy.allow]]
name = "corp"
hosts = ["git.corp.example"]
addresses = ["10.2.0.0/16"]
clients = ["listener:agents"]
methods = ["GET"]
paths = ["/a/*"]
[[policy.deny]]
name = "telemetry"
hosts = ["**.telemetry.example"]
ports = ["1-65535"]
"""
RATE = '[[policy]]\nkind = "rate"\nrequests_per_minute = 60\nconnections = 5\n'
ACME = '[[policy]]\nkind = "acme"\nlevel = 5\n'
CORP = '[[upstream]]\nname = "corp"\nurl = "https://proxy.corp.example:3128"\n'
ROUTE = '[[route]]\nname = "never"\nvia = "refuse"\nhosts = ["**.bad.example"]\n'
VIA = '[[listener]]\nname = "agents"\nendpoint = "unix:/d"\nvia = "{}"\n'
LISTENER = '[[listener]]\nname = "agents"\nendpoint = "{}"\n'

HERE = "tcp:2:interface=127.0.0.1"
CALLERS = 'require = "basic"\ntokens = "t"\nallow_plaintext_tokens = true\n'
SHUT = f'[[listener]]\nname = "shut"\nendpoint = "{HERE}"\nrequire = "basic"\ntokens = "t"\n'
TWO = (
    '[[listener]]\nname = "shut"\nendpoint = "tcp:{}:interface=127.0.0.1"\nrequire = "basic"\ntokens = "t"\n'
    '[[listener]]\nname = "open"\nendpoint = "tcp:{}:interface=127.0.0.1"\n'
)
CERTIFIED = 'tls.certificate = "c"\ntls.client_ca = "a"\n'
DENIED = RULES.replace('"1-65535"]', '"1-65535"]\nclients = ["token:x-*"]')
LIMITED = RATE + 'clients = ["token:x"]\n'
BY_CERTIFICATE = '[[route]]\nname = "r"\nvia = "corp"\nclients = ["certificate:x"]\n'
OTHER = '[[upstream]]\nname = "other"\nurl = "https://other.corp.example"\n'
PLAIN = "allow_plaintext_credentials = true\n"
BUILD = '[[route]]\nname = "build"\nvia = "corp"\nhosts = ["**.build.example"]\n'
FREE = '[[route]]\nname = "free"\nvia = "environment"\nhosts = ["a.build.example"]\n'
DEFAULT = '[routing]\ndefault = "corp"\n'
REFUSE = 'direct = "refuse"\n'

Row = tuple[str, str, str, list[str]]
"""A name, the old file, the new one, and what is said; each sentence by a part of it."""


@implementer(IPolicyMaker)
class UnknownMaker:
    """Makes policies that do not describe themselves."""

    kind = "acme"

    def make_policy(self, name: str, settings: Mapping[str, object], host: IHostServices) -> IPolicy:
        """Make one."""
        return FixedPolicy(name)


@frozen
class MirrorSettings:
    """The keys of a policy that describes itself."""

    hosts: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    clients: tuple[str, ...] | None = None
    level: int = 0
    is_broken: bool = False


@implementer(IPolicy, IPolicyDescription)
@define(eq=False)
class Mirrors:
    """A third party's policy that describes itself."""

    name: str
    settings: MirrorSettings
    pure: bool = field(default=True, init=False)

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        """Allow the hosts."""
        return Verdict(Outcome.ALLOW if request.authority.host in self.settings.hosts else Outcome.ABSTAIN, self.name)

    def rules(self) -> list[PolicyRule]:
        """List an allow rule and a deny rule, where there are any, and a limit."""
        settings = self.settings
        found = [PolicyRule(RuleEffect.LIMIT, "level")] if settings.level else []
        if settings.hosts:
            found.append(PolicyRule(RuleEffect.ALLOW, "mirrors", "hosts", settings.hosts, (443,)))
        if settings.denied:
            found.append(PolicyRule(RuleEffect.DENY, "denied", "", settings.denied, clients=settings.clients))
        return found

    def weaker_than(self, previous: IPolicy) -> Sequence[str]:
        """Compare the levels."""
        assert isinstance(previous, Mirrors)
        if self.settings.is_broken:
            raise ZeroDivisionError("a secret")
        return ["the level is higher"] if self.settings.level > previous.settings.level else []


@implementer(IPolicyMaker)
class MirrorsMaker:
    """Makes policies that describe themselves."""

    kind = "mirrors"

    def make_policy(self, name: str, settings: Mapping[str, object], host: IHostServices) -> IPolicy:
        """Make one."""
        return Mirrors(name, structure(MirrorSettings, settings))


def policies_of(settings: Settings) -> tuple[ConfiguredPolicy, ...]:
    """Build the policies of a file, those of third parties too."""
    makers = {**find_makers(plugins), "acme": UnknownMaker(), "mirrors": MirrorsMaker()}
    return describe_policies(settings.policy, build_policies(settings.policy, makers, FakeHost()))


class DowngradeCase(SynchronousTestCase):
    """Each change is named if it lowers protection, and not if it does not."""

    def load(self, text: str) -> Settings:
        """Load a file with this text."""
        path = Path(self.mktemp())
        path.write_text(text, "utf-8")
        return load(str(path)).settings

    def find(self, old: str, new: str) -> list[str]:
        """Compare two files."""
        before, after = self.load(old), self.load(new)
        return find_downgrades(before, after, policies_of(before), policies_of(after))

    def check(self, table: list[Row]) -> None:
        """Compare the files of every row."""
        for name, old, new, said in table:
            found = self.find(old, new)
            self.assertEqual(len(said), len(found), f"{name}: {found}")
            for part, sentence in zip(said, found, strict=True):
                self.assertIn(part, sentence, name)
                self.assertTrue(sentence.isascii(), name)
