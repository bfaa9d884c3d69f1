"""`[[upstream]]`, `[[route]]` and `[routing]`, and their documentation."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import NOTHING, Attribute, field, fields, frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.config import structure
from egress.errors import ConfigError
from egress.upstream.environment import NO_PROXY, PROXY_VARIABLES
from egress.upstream.routing_settings import RESERVED, RouteSettings, RoutingSettings, UpstreamSettings, check_routing
from tests.documents import DOCS, blocks_of

PAGE: Path = DOCS / "how-to" / "use-upstream-proxies.md"

UPSTREAM: dict[str, object] = {"name": "corp", "url": "http://proxy.example:3128"}
TLS: dict[str, object] = {"name": "corp", "url": "https://proxy.example"}
OPEN: dict[str, object] = {
    "name": "corp",
    "url": "http://u:hunter2@proxy.example:3128",
    "allow_plaintext_credentials": True,
}

GOOD_UPSTREAMS: list[dict[str, object]] = [
    UPSTREAM,
    OPEN,
    {**UPSTREAM, "credentials": "/etc/egress/proxy", "allow_plaintext_credentials": True},
    {**TLS, "url": "https://u:hunter2@proxy.example"},
    {**TLS, "credentials": "systemd:proxy", "ca": "/a.pem", "certificate": "/c.pem", "key": "/k.pem"},
    {**TLS, "ca": "/a.pem", "ca_mode": "replace"},
    {**UPSTREAM, "no_proxy": "environment", "dns": "pinned"},
    {**UPSTREAM, "no_proxy": ".corp.example, 10.0.0.0/8", "dns": "remote", "through": "other"},
    {**UPSTREAM, "delegate": ["api.example.com", "*.example.com", "**"]},
]

# The table and the key that is at fault.
BAD_UPSTREAMS: list[tuple[dict[str, object], str]] = [
    ({"url": "http://p"}, "name"),
    ({"name": "corp"}, "url"),
    ({**UPSTREAM, "name": ""}, "name"),
    ({**UPSTREAM, "name": " corp"}, "name"),
    ({**UPSTREAM, "name": "c\u00f6rp"}, "name"),
    ({**UPSTREAM, "name": "a" * 65}, "name"),
    *(({**UPSTREAM, "name": name}, "name") for name in ("direct", "refuse", "environment", "None", "HTTPS_PROXY")),
    ({**UPSTREAM, "url": "proxy.example:3128"}, "url"),
    ({**UPSTREAM, "url": "http://u:hunter2@proxy.example:312800"}, "url"),
    ({**UPSTREAM, "url": "socks5://u:hunter2@proxy.example"}, "url"),
    ({**UPSTREAM, "url": 3128}, "url"),
    ({**UPSTREAM, "url": {"scheme": "http"}}, "url"),
    ({**UPSTREAM, "ca": "/a.pem"}, "ca"),
    ({**UPSTREAM, "certificate": "/c.pem"}, "certificate"),
    ({**TLS, "key": "/k.pem"}, "key"),
    ({**TLS, "ca_mode": "replace"}, "ca_mode"),
    ({**TLS, "ca": "/a.pem", "ca_mode": "both"}, "ca_mode"),
    ({**TLS, "ca": "a\0b"}, "ca"),
    ({**TLS, "credentials": "a\0b"}, "credentials"),
    ({**TLS, "credentials": "systemd:"}, "credentials"),
    ({**TLS, "credentials": "systemd:../shadow"}, "credentials"),
    ({**TLS, "url": "https://u:hunter2@proxy.example", "credentials": "/f"}, "credentials"),
    ({**UPSTREAM, "credentials": "/f"}, "allow_plaintext_credentials"),
    ({**UPSTREAM, "url": "http://u:hunter2@proxy.example"}, "allow_plaintext_credentials"),
    ({**UPSTREAM, "allow_plaintext_credentials": True}, "allow_plaintext_credentials"),
    ({**TLS, "credentials": "/f", "allow_plaintext_credentials": True}, "allow_plaintext_credentials"),
    ({**OPEN, "allow_plaintext_credentials": "yes"}, "allow_plaintext_credentials"),
    ({**UPSTREAM, "no_proxy": ",,"}, "no_proxy"),
    ({**UPSTREAM, "no_proxy": "http://u:hunter2@x"}, "no_proxy"),
    ({**UPSTREAM, "no_proxy": ["a"]}, "no_proxy"),
    ({**UPSTREAM, "dns": "local"}, "dns"),
    ({**UPSTREAM, "delegate": []}, "delegate"),
    ({**UPSTREAM, "delegate": ["a.example", "*"]}, "delegate[1]"),
    ({**UPSTREAM, "delegate": ["10.0.0.0/8"]}, "delegate[0]"),
    ({**UPSTREAM, "delegate": ["**"], "dns": "remote"}, "delegate"),
    ({**UPSTREAM, "delegate": ["**"], "dns": "pinned"}, "delegate"),
    ({**UPSTREAM, "through": 1}, "through"),
    ({**UPSTREAM, "priority": 1}, "priority"),
]

ROUTE: dict[str, object] = {"name": "build", "via": "corp"}

BAD_ROUTES: list[tuple[dict[str, object], str]] = [
    ({"via": "corp"}, "name"),
    ({"name": "build"}, "via"),
    ({**ROUTE, "name": "b\n"}, "name"),
    ({**ROUTE, "hosts": []}, "hosts"),
    ({**ROUTE, "hosts": ["*"]}, "hosts[0]"),
    ({**ROUTE, "hosts": "a.example"}, "hosts"),
    ({**ROUTE, "ports": []}, "ports"),
    ({**ROUTE, "ports": [443, 0]}, "ports[1]"),
    ({**ROUTE, "clients": []}, "clients"),
    ({**ROUTE, "clients": ["agents"]}, "clients[0]"),
    ({**ROUTE, "methods": ["GET"]}, "methods"),
]


@frozen
class Document:
    """The tables that the page speaks of."""

    upstream: tuple[UpstreamSettings, ...] = ()
    route: tuple[RouteSettings, ...] = ()
    routing: RoutingSettings = field(factory=RoutingSettings)
    listener: tuple[Mapping[str, object], ...] = ()
    policy: tuple[Mapping[str, object], ...] = ()


def check(document: str) -> None:
    """Shape a document and hold its names to each other."""
    shaped = structure(Document, tomllib.loads(document))
    listeners = {str(table["name"]): str(table.get("via", "")) for table in shaped.listener}
    check_routing(shaped.upstream, shaped.route, shaped.routing, listeners)


class SettingsTests(SynchronousTestCase):
    """Each table by itself."""

    def test_good_upstreams(self) -> None:
        """What belongs together is taken, and no spelling of it shows a password."""
        for table in GOOD_UPSTREAMS:
            upstream = structure(UpstreamSettings, table, "upstream[0]")
            self.assertNotIn("hunter2", repr(upstream) + str(upstream))

    def test_bad_upstreams(self) -> None:
        """What cannot work, or would do nothing, is an error at its key."""
        for table, key in BAD_UPSTREAMS:
            with self.assertRaises(ConfigError, msg=table) as caught:
                structure(UpstreamSettings, table, "upstream[3]")
            self.assertEqual(caught.exception.where, f"upstream[3].{key}", table)
            self.assertNotIn("hunter2", str(caught.exception))

    def test_bad_routes(self) -> None:
        """A route that could never match is an error at its key."""
        for table, key in BAD_ROUTES:
            with self.assertRaises(ConfigError, msg=table) as caught:
                structure(RouteSettings, table, "route[1]")
            self.assertEqual(caught.exception.where, f"route[1].{key}", table)

    def test_bad_routing(self) -> None:
        """Only known words say whether requests may go direct."""
        with self.assertRaises(ConfigError) as caught:
            structure(RoutingSettings, {"direct": "never"}, "routing")
        self.assertEqual(caught.exception.where, "routing.direct")

    @given(st.text(min_size=4).map("q9Z~".__add__), st.sampled_from(["", "http://", "https://", "socks5://"]))
    def test_no_error_shows_a_password(self, password: str, scheme: str) -> None:
        """Whatever is wrong with a url, the error holds nothing of it."""
        for url in (f"{scheme}u:{password}@proxy.example:99999", f"{scheme}u:{password}@proxy.example/x"):
            with self.assertRaises(ConfigError) as caught:
                structure(UpstreamSettings, {"name": "corp", "url": url}, "upstream[0]")
            self.assertNotIn(password, str(caught.exception) + repr(caught.exception))


U = '[[upstream]]\nname = "{}"\nurl = "http://{}.example:3128"\n'
A, B, C = U.format("a", "a"), U.format("b", "b"), U.format("c", "c")


class NamesTests(SynchronousTestCase):
    """The tables together."""

    def test_good(self) -> None:
        """Names lead to what there is, and proxies through each other as long as that ends."""
        check(A + 'through = "b"\n' + B + 'through = "c"\n' + C)
        check(A + '[[route]]\nname = "r"\nvia = "a"\n[routing]\ndefault = "a"\ndirect = "refuse"')
        for via in ("direct", "environment", "refuse", ""):
            check(f'[[listener]]\nname = "l"\nvia = "{via}"')
        check('[routing]\ndefault = "environment"\ndirect = "no_proxy"')

    def test_bad(self) -> None:
        """The error stands where the wrong name was written."""
        rows = [
            (A + A, "upstream[1].name"),
            ('[[route]]\nname = "r"\nvia = "direct"\n' * 2, "route[1].name"),
            (A + 'through = "a"', "upstream[0].through"),
            (A + 'through = "x"', "upstream[0].through"),
            (A + 'through = "direct"', "upstream[0].through"),
            (C + 'through = "a"\n' + A + 'through = "x"', "upstream[1].through"),
            (A + 'through = "b"\n' + B + 'through = "a"', "upstream[0].through"),
            (C + 'through = "a"\n' + A + 'through = "b"\n' + B + 'through = "a"', "upstream[0].through"),
            ('[[route]]\nname = "r"\nvia = "a"', "route[0].via"),
            (A + '[[route]]\nname = "r"\nvia = "A"', "route[0].via"),
            ('[[route]]\nname = "r"\nvia = ""', "route[0].via"),
            ('[[route]]\nname = "r"\nvia = "none"', "route[0].via"),
            ('[[listener]]\nname = "k"\n[[listener]]\nname = "l"\nvia = "a"', "listener[1].via"),
            ('[routing]\ndefault = "a"', "routing.default"),
            ('[routing]\ndefault = "refuse"', "routing.default"),
            ('[routing]\ndefault = "direct"\ndirect = "refuse"', "routing.default"),
            ('[[route]]\nname = "r"\nvia = "direct"\n[routing]\ndirect = "no_proxy"', "route[0].via"),
            ('[[listener]]\nname = "l"\nvia = "direct"\n[routing]\ndirect = "refuse"', "listener[0].via"),
        ]
        for document, where in rows:
            with self.assertRaises(ConfigError, msg=document) as caught:
                check(document)
            self.assertEqual(caught.exception.where, where, document)


def _spell_default(field: Attribute[Any]) -> str:
    if field.default is NOTHING:
        return "required"
    if field.default is None:
        return "left out"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f'`"{field.default}"`'


class DocumentTests(SynchronousTestCase):
    """docs/how-to/use-upstream-proxies.md is held to the code."""

    def test_every_key(self) -> None:
        """Each table of keys has those of the code with their defaults, no more and no less."""
        text = PAGE.read_text("utf-8")
        for heading, cls in (
            ("## `[[upstream]]`", UpstreamSettings),
            ("## `[[route]]`", RouteSettings),
            ("## `[routing]`", RoutingSettings),
        ):
            section = text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
            rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE))
            self.assertEqual(rows, {field.name: _spell_default(field) for field in fields(cls)}, heading)

    def test_every_variable(self) -> None:
        """The table of variables has each one, and says which has a lower case."""
        section = PAGE.read_text("utf-8").partition("\n## The environment\n")[2].partition("\n## ")[0]
        rows = dict(re.findall(r"^\| `(\w+)` \| (`\w+`|none) \|", section, re.MULTILINE))
        expected = {name: f"`{name.lower()}`" for name in (*PROXY_VARIABLES, NO_PROXY)}
        self.assertEqual(rows, {**expected, "PROXY_URL": "none"})

    def test_every_reserved_name(self) -> None:
        """The names that no upstream may have are listed."""
        line = next(line for line in PAGE.read_text("utf-8").splitlines() if "may be called" in line)
        self.assertEqual({name.lower() for name in re.findall(r"`(\w+)`", line)}, RESERVED)

    def test_examples(self) -> None:
        """Every example in TOML is accepted."""
        blocks = blocks_of(PAGE, "toml")
        self.assertGreater(len(blocks), 3)
        for block in blocks:
            check(block)
