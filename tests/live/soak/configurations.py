"""The configurations that a soak changes between. None of the changes concerns the requests of good clients."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

from attrs import frozen

from egress.identity.generated_tokens import digest_of, format_digest, make_token
from tests.live.certificates import CertificateAuthority
from tests.live.soak.entrance import Entrance

# Short enough for the short form to reach them, and long for a good client on a busy machine.
HEAD_SECONDS = 4
RESPONSE_SECONDS = 10
TOKENS = 4
TEMPORARY = "temporary"
DENIED = "denied.example"

_BASE = """
[[listener]]
name = "agents"
endpoint = "tcp:0:interface=127.0.0.1"

[[listener]]
name = "tokens"
endpoint = "tcp:0:interface=127.0.0.1"
require = "basic"
tokens = "tokens"

[[listener]]
name = "secure"
endpoint = "tcp:0:interface=127.0.0.1"
[listener.tls]
certificate = "{certificate}/server.pem"

[[listener]]
name = "local"
endpoint = "unix:{unix}"

{listeners}
[[policy]]
kind = "destinations"

[[policy.allow]]
name = "loopback"
hosts = ["127.0.0.0/8", "localhost"]
ports = ["1-65535"]
addresses = ["127.0.0.0/8", "::1"]

[[policy.deny]]
name = "denied"
hosts = ["{denied}"]
ports = ["1-65535"]

{rules}
[[policy]]
kind = "rate"
requests_per_minute = 100000000
bytes_per_minute = 1000000000000000
connections = 100000

[limits]
head_seconds = {head_seconds}
response_seconds = {response_seconds}
body_stall_seconds = {response_seconds}
idle_seconds = {response_seconds}
hello_seconds = {response_seconds}
drain_seconds = 1
authentication_failures_per_minute = 1000000
{limits}

[audit]
chain = true
paths = "full"

[status]
endpoint = "tcp:{status}:interface=127.0.0.1"
"""
_LISTENER = """
[[listener]]
name = "{name}"
endpoint = "tcp:{port}:interface=127.0.0.1"
"""
_LIMITS = {
    "pool_seconds": (2, 3, 5),
    "keepalive_seconds": (20, 75),
    "pool_connections": (4, 64, 512),
    "pool_connections_per_origin": (1, 8, 64),
    "head_fields": (100, 128),
    "connections": (4000, 8192),
    "tunnel_seconds": (3600, 86_400),
    "linger_seconds": (1, 2),
}


@frozen
class Configurations:
    """Writes one configuration after another into one file, and the files that they name.

    Args:
        directory: of the configuration.
        unix: path of the unix socket.
        status_port: where the status listener is.
        temporary_port: where the listener is that comes and goes.

    Attributes:
        authorities: two authorities; the certificate of the TLS listener is of one or the other.
        tokens: names and tokens of good clients.
    """

    directory: Path
    unix: Path
    status_port: int
    temporary_port: int
    authorities: tuple[CertificateAuthority, ...]
    tokens: tuple[tuple[str, str], ...]

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.directory / "egress.toml"

    def first(self) -> str:
        """Write what the configuration names.

        Returns:
            The configuration of the start.
        """
        self._write_tokens(())
        return self._text(0, "", "", "pool_seconds = 3")

    def change(self, rng: random.Random) -> bool:
        """Write another configuration.

        Returns:
            Whether it is valid.
        """
        self._write_tokens(tuple(f"other-{rng.randrange(1000)}" for _ in range(rng.randrange(5))))
        listeners = _LISTENER.format(name=TEMPORARY, port=self.temporary_port) if rng.random() < 0.5 else ""
        rules = "".join(_rule(number, rng) for number in rng.sample(range(100), rng.randrange(20)))
        limits = "\n".join(f"{key} = {rng.choice(values)}" for key, values in _LIMITS.items())
        is_valid = rng.random() < 0.9
        text = self._text(rng.randrange(2), listeners, rules, limits if is_valid else "no_such_limit = 1")
        _replace(self.file, f"state = {json.dumps(str(self.directory / 'state'))}\n{text}")
        return is_valid

    def calm(self) -> None:
        """Write the configuration of the start again."""
        _replace(self.file, f"state = {json.dumps(str(self.directory / 'state'))}\n{self.first()}")

    def _text(self, authority: int, listeners: str, rules: str, limits: str) -> str:
        return _BASE.format(
            certificate=self.authorities[authority].path.parent,
            unix=self.unix,
            listeners=listeners,
            denied=DENIED,
            rules=rules,
            limits=limits,
            head_seconds=HEAD_SECONDS,
            response_seconds=RESPONSE_SECONDS,
            status=self.status_port,
        )

    def _write_tokens(self, others: tuple[str, ...]) -> None:
        secrets = [*self.tokens, *((name, make_token()) for name in others)]
        _replace(self.directory / "tokens", "".join(_line(name, secret) for name, secret in secrets))


def _line(name: str, secret: str) -> str:
    digest = digest_of(secret.encode())
    assert digest is not None
    return f"{name}:{format_digest(digest)}\n"


def _replace(path: Path, text: str) -> None:
    """Write a file that a reader finds whole at any time."""
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(text, "utf-8")
    os.replace(new, path)


def _rule(number: int, rng: random.Random) -> str:
    kind = rng.choice(("allow", "deny"))
    return f'[[policy.{kind}]]\nname = "rule {number}"\nhosts = ["**.rule{number}.example", "192.0.2.{number}"]\n\n'


def make_tokens() -> tuple[tuple[str, str], ...]:
    """Make the tokens of good clients."""
    return tuple((f"agent-{number}", make_token()) for number in range(TOKENS))


def entrances(ports: dict[str, int], made: Configurations) -> tuple[Entrance, ...]:
    """Return the listeners of good clients.

    Args:
        ports: the ports of the listeners that have one.
        made: the configurations.
    """
    context = made.authorities[0].for_client()
    context.load_verify_locations(str(made.authorities[1].path))
    plain = Entrance("agents", ("127.0.0.1", ports["agents"]))
    secure = Entrance("secure", ("127.0.0.1", ports["secure"]), context=context)
    by_token = [
        Entrance("tokens", ("127.0.0.1", ports["tokens"]), f"tokens/token:{name}", token=f"{name}:{secret}")
        for name, secret in made.tokens
    ]
    return plain, secure, Entrance("local", str(made.unix)), *by_token
