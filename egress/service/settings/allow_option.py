"""Makes a policy table from the hosts of `--allow`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from egress.config.validators import NAME_LIMIT
from egress.errors import ConfigError
from egress.hostname import canonical_host

ALLOW_POLICY = "allow-option"

_LOOPBACK = ("127.0.0.0/8", "::1/128")
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::(.*))?\Z")


def allow_table(allowed: Sequence[str]) -> dict[str, object]:
    """Make the table of a `destinations` policy with one rule for each host.

    Args:
        allowed: the values, each `HOST` or `HOST:PORT`. A host is a name, a pattern, an address or a network; an IPv6
            address with a port is in brackets.

    Raises:
        ConfigError: a value is invalid; `where` is the option.
    """
    return {"kind": "destinations", "name": ALLOW_POLICY, "allow": [_rule(text) for text in allowed]}


def _rule(text: str) -> dict[str, object]:
    host, port = _split(text)
    rule: dict[str, object] = {"hosts": [host]}
    if len(text) <= NAME_LIMIT:
        rule["name"] = text
    if port is not None:
        rule["ports"] = [_port(text, port)]
    if _is_localhost(host):
        # The SSRF guard refuses these addresses unless the rule admits them.
        rule["addresses"] = list(_LOOPBACK)
    return rule


def _split(text: str) -> tuple[str, str | None]:
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError("--allow", "must be HOST or HOST:PORT")
    if "://" in text or "@" in text:
        # The text may contain credentials, so the message does not repeat the text.
        raise ConfigError("--allow", "must be HOST or HOST:PORT, not a URL")
    if found := _BRACKETED.match(text):
        return found[1], found[2]
    host, colon, port = text.rpartition(":")
    if colon and ":" not in host:
        return host, port
    return text, None


def _port(text: str, port: str) -> int:
    if not port.isdigit() or not 1 <= (number := int(port[:6])) <= 65_535:
        raise ConfigError(f"--allow {text}", "its port must be a number from 1 to 65535")
    return number


def _is_localhost(host: str) -> bool:
    try:
        name, address = canonical_host(host)
    except ValueError:
        return False
    return address is None and (name == "localhost" or name.endswith(".localhost"))
