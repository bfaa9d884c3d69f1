"""The measured configurations: the shipped configuration, with 100 rules or another number of rules."""

from __future__ import annotations

import re

from started import HERE

# Of each hundred rules, sixty have two hosts, twenty-five have wildcards, and the others refuse.
_EXACT, _WILD = 60, 85


def shipped(base: int, *, listener: str = "", more: str = "", names: tuple[str, ...] = ()) -> str:
    """Make egress.toml with ports of this run.

    Args:
        base: the first of the origin's ports.
        listener: keys to add to the listener's table.
        more: tables to add at the end.
        names: further names of the first rule, which admits loopback for them.
    """
    text = (HERE / "egress.toml").read_text()
    hosts = ", ".join(f'"{name}"' for name in ("127.0.0.0/8", *names))
    opened = 'addresses = ["127.0.0.0/8"]\n' if names else ""
    text = text.replace('tcp:3128:interface=127.0.0.1"\n', f'tcp:{{port}}:interface=127.0.0.1"\n{listener}', 1)
    text = text.replace('hosts = ["127.0.0.0/8"]\n', f"hosts = [{hosts}]\n{opened}", 1)
    return text.replace('ports = ["9100-9199"]', f'ports = ["{base}-{base + 7}"]', 1) + "\n" + more


def of_rules(base: int, count: int, more: str = "") -> str:
    """Make the shipped configuration with a total number of rules."""
    head = re.split(r"(?m)^(?=\[\[policy\.allow\]\]\nname = \"api-1\")", shipped(base))[0]
    return head + "\n".join(_rule(number) for number in range(1, count)) + "\n" + more


def _rule(number: int) -> str:
    kind = number * 37 % 100
    if kind < _EXACT:
        hosts = f'"api{number}.example.com", "cdn{number}.example.net"'
        return f'[[policy.allow]]\nname = "api-{number}"\nhosts = [{hosts}]\n'
    if kind < _WILD:
        hosts = f'"*.tenant{number}.example.org", "**.svc{number}.example.io"'
        return f'[[policy.allow]]\nname = "tenant-{number}"\nhosts = [{hosts}]\nports = [443, "8000-8100"]\n'
    return f'[[policy.deny]]\nname = "never-{number}"\nhosts = ["**.bad{number}.example"]\nports = ["1-65535"]\n'
