"""Downgrades of routes and upstreams."""

from __future__ import annotations

from tests.service.reload.downgrades.support import (
    BUILD,
    CORP,
    DEFAULT,
    FREE,
    OTHER,
    PLAIN,
    REFUSE,
    ROUTE,
    DowngradeCase,
    Row,
)

TABLE: list[Row] = [
    ("direct allowed", '[routing]\ndirect = "refuse"', "", ['routing.direct is "allow": anything may go out']),
    (
        "direct by NO_PROXY",
        '[routing]\ndirect = "refuse"',
        '[routing]\ndirect = "no_proxy"',
        ["whatever NO_PROXY lists"],
    ),
    ("direct refused", "", '[routing]\ndirect = "refuse"', []),
    ("direct by default", CORP, CORP + '[routing]\ndefault = "direct"', ['routing.default is "direct"']),
    ("a route that refused", ROUTE, "", ["route never no longer refuses **.bad.example"]),
    ("a route that refuses less", ROUTE, ROUTE + "ports = [80]\n", ["route never no longer refuses **.bad.example"]),
    ("a route that refuses more", ROUTE, ROUTE.replace("**.bad.example", "**.example"), []),
    (
        "a default left out",
        CORP + DEFAULT,
        CORP,
        ["routing.default is left out: what nothing else decides goes by the env"],
    ),
    (
        "a default of the environment",
        CORP + DEFAULT,
        CORP + DEFAULT.replace("corp", "environment"),
        [
            'routing.default is "environment": what nothing else',
        ],
    ),
    ("a default left out where nothing goes direct", CORP + DEFAULT + REFUSE, CORP + "[routing]\n" + REFUSE, []),
    ("a route through a proxy gone", CORP + BUILD, CORP, ["route build no longer sends **.build.example through corp"]),
    ("a route through a proxy gone, as everything goes there", CORP + BUILD + DEFAULT, CORP + DEFAULT, []),
    (
        "a route through a proxy that refuses now",
        CORP + BUILD,
        CORP + BUILD.replace('via = "corp"', 'via = "refuse"'),
        [],
    ),
    (
        "a route through a proxy narrowed",
        CORP + BUILD,
        CORP + BUILD + "ports = [80]\n",
        ["no longer sends **.build.example"],
    ),
    (
        "a route past it before it",
        CORP + BUILD,
        CORP + FREE + BUILD,
        [
            "route free sends a.build.example by the environment, which may name no proxy",
        ],
    ),
    (
        "a route past it brought forward",
        CORP + BUILD + FREE,
        CORP + FREE + BUILD,
        ["route free comes before build now"],
    ),
    ("a route past it put back", CORP + FREE + BUILD, CORP + BUILD + FREE, []),
    ("a route by the environment where nothing else is said", "", FREE, []),
    ("a direct route", "", ROUTE.replace("refuse", "direct"), ["route never lets **.bad.example go out without a"]),
    ("plaintext credentials", CORP, CORP.replace("https://", "http://"), ["upstream corp: it is reached without TLS"]),
    ("names left to it", CORP, CORP + 'delegate = ["**.corp.example"]\n', ["more names are left to it"]),
    (
        "names left to the environment's proxies",
        '[routing]\ndelegate = ["*.corp.example"]\n',
        '[routing]\ndelegate = ["**.corp.example"]\n',
        ["routing.delegate: more names are left to the environment's proxies: **.corp.example"],
    ),
    (
        "fewer names left to the environment's proxies",
        '[routing]\ndelegate = ["**.corp.example"]\n',
        '[routing]\ndelegate = ["*.corp.example"]\n',
        [],
    ),
    ("all names left to it", CORP, CORP + 'dns = "remote"\n', ['dns is "remote"']),
    ("never asked for names", CORP + 'dns = "pinned"\n', CORP, ['dns is "auto": it may look names up itself']),
    ("asked for names no more", CORP, CORP + 'dns = "pinned"\n', []),
    (
        "reached directly",
        CORP + 'through = "other"\n' + OTHER,
        CORP + OTHER,
        ["corp: it is reached directly, no longer through other"],
    ),
    ("reached through another", CORP + OTHER, CORP + 'through = "other"\n' + OTHER, []),
    (
        "credentials for another host",
        CORP.replace("//", "//u:p@"),
        CORP.replace("//proxy", "//u:p@other"),
        [
            "upstream corp: its credentials are sent to another place",
        ],
    ),
    (
        "fields of CONNECT for another host",
        CORP + 'connect_headers.X-Token = "x"\n',
        CORP.replace("//proxy", "//other") + 'connect_headers.X-Token = "x"\n',
        ["upstream corp: its connect_headers are sent to another place"],
    ),
    ("another host", CORP, CORP.replace("//proxy", "//other"), []),
    ("a new upstream", CORP, CORP + OTHER, []),
    ("a new upstream without TLS", CORP, CORP + OTHER.replace("https", "http"), ["other: it is reached without TLS"]),
    ("the first upstream", "", CORP.replace("https", "http"), []),
    (
        "a new upstream with credentials in the clear",
        CORP,
        CORP + OTHER.replace("https://", "http://u:p@") + PLAIN,
        [
            "upstream other: it is reached without TLS",
            "upstream other: its credentials are sent where the network can read them",
        ],
    ),
    (
        "a renamed upstream that resolves",
        CORP + DEFAULT,
        CORP.replace("corp", "c2", 1) + 'dns = "remote"\n' + DEFAULT.replace("corp", "c2"),
        [
            'upstream c2: dns is "remote"',
        ],
    ),
    (
        "a new upstream that is left names",
        CORP,
        CORP + OTHER + 'delegate = ["**.corp.example"]\n',
        ["upstream other: more names"],
    ),
    (
        "a new upstream that is gone past",
        CORP,
        CORP + OTHER + 'no_proxy = "a.example"\n',
        ["upstream other: no_proxy changed"],
    ),
    ("past it", CORP, CORP + 'no_proxy = "a.example"\n', ["no_proxy changed"]),
    ("its authorities", CORP, CORP + 'ca = "x.pem"\n', ["other authorities are trusted"]),
    (
        "more of its authorities",
        CORP + 'ca = "x.pem"\nca_mode = "replace"\n',
        CORP + 'ca = "x.pem"\n',
        ["the system's authorities are trusted too"],
    ),
]


class RoutingTests(DowngradeCase):
    """Changes of routes and upstreams."""

    def test_table(self) -> None:
        """Every row."""
        self.check(TABLE)
