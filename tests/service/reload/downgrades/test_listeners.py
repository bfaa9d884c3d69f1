"""Downgrades of listeners."""

from __future__ import annotations

from tests.service.reload.downgrades.support import (
    BY_CERTIFICATE,
    CALLERS,
    CERTIFIED,
    CORP,
    DENIED,
    HERE,
    LIMITED,
    LISTENER,
    RULES,
    SHUT,
    TWO,
    VIA,
    DowngradeCase,
    Row,
)

TABLE: list[Row] = [
    (
        "open to other machines",
        LISTENER.format("tcp:3128:interface=127.0.0.1"),
        LISTENER.format("tcp:3128"),
        ["listener agents can be reached by other machines"],
    ),
    ("closed to other machines", LISTENER.format("tcp:1"), LISTENER.format("tcp:1:interface=127.0.0.1"), []),
    (
        "open to other users",
        LISTENER.format("unix:/run/proxy server"),
        LISTENER.format("unix:/run/proxy server:mode=660"),
        ["listener agents can be reached by other users"],
    ),
    (
        "credentials no longer asked for",
        LISTENER.format("tcp:1:interface=127.0.0.1") + 'require = "basic"\ntokens = "t"\n',
        LISTENER.format("tcp:1:interface=127.0.0.1"),
        ['listener agents has require = "none", it was "basic"'],
    ),
    (
        "credentials asked for",
        LISTENER.format("tcp:1:interface=127.0.0.1"),
        LISTENER.format("tcp:1:interface=127.0.0.1") + 'require = "basic"\ntokens = "t"\n',
        [],
    ),
    (
        "other tokens",
        LISTENER.format("unix:/d") + 'tokens = "t"\n',
        LISTENER.format("unix:/d") + 'tokens = "u"\n',
        ["takes tokens of another file"],
    ),
    (
        "no TLS",
        LISTENER.format("tcp:1") + 'tls.certificate = "c"\ntls.client_ca = "a"\nrequire = "certificate"\n',
        LISTENER.format("tcp:1") + 'tokens = "t"\nallow_plaintext_tokens = true\n',
        [
            'require = "none", it was "certificate"',
            "no longer speaks TLS",
            "tokens that cross the network in the clear",
        ],
    ),
    (
        "other authorities",
        LISTENER.format("tcp:1") + 'tls.certificate = "c"\ntls.client_ca = "a"\n',
        LISTENER.format("tcp:1") + 'tls.certificate = "c"\ntls.client_ca = "b"\n',
        ["certificates of other authorities"],
    ),
    ("a listener that refused", VIA.format("refuse"), VIA.format("direct"), ["no longer refuses everything"]),
    ("a listener made direct", VIA.format("corp"), VIA.format("direct"), ["lets everything go out without a proxy"]),
    ("a listener without a route", VIA.format("corp"), VIA.format(""), ["has no route of its own any more"]),
    (
        "a renamed listener",
        LISTENER.format("tcp:1") + CALLERS,
        LISTENER.format("tcp:1").replace("agents", "x"),
        [
            'listener x has require = "none", it was "basic"',
        ],
    ),
    (
        "a renamed listener that refused",
        VIA.format("refuse"),
        VIA.format("").replace("agents", "x"),
        [
            "listener x no longer refuses everything",
        ],
    ),
    ("a renamed listener that stays as it is", VIA.format("refuse"), VIA.format("refuse").replace("agents", "x"), []),
    (
        "two that change places",
        TWO.format(1, 2),
        TWO.format(2, 1),
        [
            'listener open has require = "none", it was "basic"',
        ],
    ),
    ("two that are closed by it", TWO.format(1, 2), TWO.format(1, 2).replace('"open"', '"o"'), []),
    (
        "any free port",
        LISTENER.format("tcp:0") + CALLERS,
        LISTENER.format("tcp:0").replace("agents", "x"),
        [
            "listener x can be reached by other machines and asks them for nothing",
        ],
    ),
    (
        "a new listener",
        LISTENER.format("tcp:1"),
        LISTENER.format("tcp:1") + LISTENER.replace("agents", "x").format(HERE),
        [
            "listener x can be reached by every user of this machine and asks them for nothing",
        ],
    ),
    (
        "a new listener that asks",
        LISTENER.format("tcp:1"),
        LISTENER.format("tcp:1") + SHUT,
        [
            "listener shut can be reached by every user of this machine",
        ],
    ),
    (
        "from a socket's mode to every user",
        LISTENER.format("unix:/d:mode=600"),
        LISTENER.format(HERE),
        [
            "listener agents can be reached by every user of this machine and asks them for nothing",
        ],
    ),
    (
        "a socket for everybody",
        LISTENER.format("unix:/d:mode=600"),
        LISTENER.format("unix:/d:mode=666"),
        [
            "listener agents can be reached by every user of this machine",
        ],
    ),
    ("no wider than it was", LISTENER.format("unix:/d:mode=666"), LISTENER.format(HERE), []),
    ("from every user to a group", LISTENER.format(HERE), LISTENER.format("unix:/d:mode=660"), []),
    (
        "tokens gone that are denied by",
        LISTENER.format(HERE) + 'tokens = "t"\n' + DENIED,
        LISTENER.format(HERE) + DENIED,
        [
            "looks at no tokens any more",
        ],
    ),
    (
        "tokens gone that nothing is denied by",
        LISTENER.format(HERE) + 'tokens = "t"\n' + RULES,
        LISTENER.format(HERE) + RULES,
        [],
    ),
    (
        "tokens gone that are limited by",
        LISTENER.format(HERE) + 'tokens = "t"\n' + LIMITED,
        LISTENER.format(HERE) + LIMITED,
        [
            "looks at no tokens any more",
        ],
    ),
    (
        "certificates gone that are routed by",
        LISTENER.format("tcp:1") + CERTIFIED + CORP + BY_CERTIFICATE,
        LISTENER.format("tcp:1") + CERTIFIED.replace('tls.client_ca = "a"\n', "") + CORP + BY_CERTIFICATE,
        [
            "asks for no certificates any more",
        ],
    ),
    ("a listener with a route", VIA.format(""), VIA.format("corp"), []),
]


class ListenersTests(DowngradeCase):
    """Changes of listeners."""

    def test_table(self) -> None:
        """Every row."""
        self.check(TABLE)
