"""Downgrades of settings."""

from __future__ import annotations

from tests.service.reload.downgrades.support import RULES, DowngradeCase, Row

TABLE: list[Row] = [
    ("nothing changed", RULES, RULES, []),
    ("guard off", "", "[guard]\nenabled = false", ["the guard is off"]),
    ("guard on", "[guard]\nenabled = false", "", []),
    ("names in tunnels", "", '[tls]\nsni = "record"', ['tls.sni is "record"']),
    ("encrypted names in tunnels", '[tls]\nech = "refuse"', "", ['tls.ech is "record"']),
    ("limits are no protection", "", "[limits]\nconnections = 100000", []),
    (
        "more guesses",
        "",
        "[limits]\nauthentication_failures_per_minute = 1000000",
        [
            "limits.authentication_failures_per_minute is 1000000, it was 20",
        ],
    ),
    ("longer tunnels", "", "[limits]\ntunnel_seconds = 1e6", ["limits.tunnel_seconds is 1000000.0, it was 86400.0"]),
    (
        "more connections of a client",
        "",
        "[limits]\nconnections_per_client = 7000",
        ["limits.connections_per_client is 7000"],
    ),
    ("stricter limits", "", "[limits]\nconnections_per_client = 7\ntunnel_seconds = 7", []),
    ("a sink gone", '[audit]\nto = ["file", "journald"]', "", ["no longer goes to journald"]),
    ("less of each path", '[audit]\npaths = "full"', "", ['audit.paths is "first"']),
    ("whole paths", "", '[audit]\npaths = "full"', ["which may hold secrets"]),
    ("unrecorded", '[audit]\non_loss = "refuse"', "", ['audit.on_loss is "continue"']),
    ("unsealed", "[audit]\nchain = true", "", ["audit.chain is off"]),
]


class SettingsTests(DowngradeCase):
    """Changes of settings."""

    def test_table(self) -> None:
        """Every row."""
        self.check(TABLE)
