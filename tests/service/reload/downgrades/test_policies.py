"""Downgrades of policies."""

from __future__ import annotations

from tests.service.reload.downgrades.support import ACME, RATE, RULES, DowngradeCase, Row

MIRRORS = '[[policy]]\nkind = "mirrors"\nhosts = ["a.example"]\ndenied = ["**.bad.example"]\n'
LEVEL = '[[policy]]\nkind = "mirrors"\nlevel = 1\n'

TABLE: list[Row] = [
    (
        "a rule for one more host",
        RULES,
        RULES + '[[policy.allow]]\nname = "more"\nhosts = ["b.example"]\n',
        ["rule more of policy destinations is new and allows b.example"],
    ),
    ("a rule that opens nothing", RULES, RULES + '[[policy.allow]]\nhosts = ["a.wide.example"]\n', []),
    ("a rule less", RULES + '[[policy.allow]]\nname = "more"\nhosts = ["b.example"]\n', RULES, []),
    (
        "more hosts",
        RULES,
        RULES.replace('"*.wide.example"', '"**.wide.example"'),
        ["rule github of policy destinations allows more than before: hosts (**.wide.example)"],
    ),
    ("fewer hosts", RULES, RULES.replace(', "*.wide.example"', ""), []),
    ("more ports", RULES, RULES.replace('"github"', '"github"\nports = [22, 443]'), ["ports (22, 443)"]),
    ("fewer ports", RULES, RULES.replace('"github"', '"github"\nports = [443]'), []),
    ("more clients", RULES, RULES.replace('clients = ["listener:agents"]\n', ""), ["more than before: clients"]),
    ("other clients", RULES, RULES.replace("listener:agents", "listener:*"), ["more than before: clients"]),
    ("more methods", RULES, RULES.replace('["GET"]', '["GET", "POST"]'), ["more than before: methods"]),
    ("more paths", RULES, RULES.replace("/a/*", "/**"), ["more than before: paths"]),
    ("more addresses", RULES, RULES.replace("10.2.0.0/16", "10.0.0.0/8"), ["addresses (10.0.0.0/8)"]),
    ("fewer addresses", RULES, RULES.replace("10.2.0.0/16", "10.2.3.0/24"), []),
    ("unread", RULES, RULES.replace('"destinations"\n', '"destinations"\nopaque = "allow"\n'), ["tunnels, unread"]),
    (
        "overrides stripped",
        RULES,
        RULES.replace('"destinations"\n', '"destinations"\noverride_fields = "strip"\n'),
        ['policy destinations: override_fields is "strip", it was "refuse"'],
    ),
    (
        "overrides passed",
        RULES.replace('"destinations"\n', '"destinations"\noverride_fields = "strip"\n'),
        RULES.replace('"destinations"\n', '"destinations"\noverride_fields = "pass"\n'),
        ['policy destinations: override_fields is "pass", it was "strip"'],
    ),
    ("overrides refused", RULES.replace('"destinations"\n', '"destinations"\noverride_fields = "pass"\n'), RULES, []),
    (
        "overrides of no rule",
        RATE + '[[policy]]\nkind = "destinations"\n[[policy.allow]]\nhosts = ["a.example"]\n',
        RATE + '[[policy]]\nkind = "destinations"\noverride_fields = "pass"\n[[policy.allow]]\nhosts = ["a.example"]\n',
        [],
    ),
    (
        "a denial gone",
        RULES,
        RULES.partition("[[policy.deny]]")[0],
        ["rule telemetry of policy destinations is gone: it denied **.telemetry.example"],
    ),
    (
        "a denial narrowed",
        RULES,
        RULES.replace("**.telemetry", "a.telemetry"),
        ["rule telemetry of policy destinations denies less than before: hosts (**.telemetry.example)"],
    ),
    ("a denial widened", RULES, RULES.replace("**.telemetry.example", "**.example"), []),
    ("a rule moved", RULES, RULES.replace("[[policy]]\n", '[[policy]]\nname = "other"\n'), []),
    (
        "only watched",
        RULES,
        RULES.replace("[[policy]]\n", '[[policy]]\nmode = "audit"\n'),
        ["rule telemetry of policy destinations is gone", "policy destinations: decides nothing any more"],
    ),
    (
        "no longer only watched",
        RULES.replace("[[policy]]\n", '[[policy]]\nmode = "audit"\n'),
        RULES,
        ["rule github of policy destinations is new", "rule corp of policy destinations is new"],
    ),
    ("all policies gone", RULES, "", ["rule telemetry"]),
    ("rate gone", RULES + RATE, RULES, ["policy rate of kind rate is gone"]),
    ("rate raised", RATE, RATE.replace("60", "90"), ["requests_per_minute is 90, it was 60"]),
    ("rate lowered", RATE, RATE.replace("60", "30"), []),
    ("one rate gone", RATE, RATE.replace("connections = 5\n", ""), ["policy rate: connections is gone"]),
    (
        "rate for some",
        RATE,
        RATE + 'clients = ["uid:1"]\n',
        ["rate: limits other clients than before, or fewer"],
    ),
    ("rate watched", RATE, RATE + 'mode = "audit"\n', ["policy rate: decides nothing any more"]),
    ("rate new", "", RATE, []),
    ("a third party's settings", ACME, ACME.replace("5", "6"), ["settings of policy acme of kind acme changed"]),
    ("a third party's mode", ACME, ACME + 'mode = "audit"\n', ["settings of policy acme of kind acme changed"]),
    ("a third party is new", "", ACME, ["policy acme of kind acme is new"]),
    ("a third party is gone", ACME, "", ["policy acme of kind acme is gone"]),
    (
        "another kind under the same name",
        RATE,
        ACME.replace("[[policy]]", '[[policy]]\nname = "rate"'),
        ["policy rate of kind rate is gone"],
    ),
    ("a described policy is new", "", MIRRORS, ["rule mirrors of policy mirrors is new and allows a.example"]),
    ("a described policy is gone", MIRRORS, "", ["rule denied of policy mirrors is gone: it denied **.bad.example"]),
    ("its rules stand elsewhere now", MIRRORS, MIRRORS.replace("[[policy]]", '[[policy]]\nname = "other"'), []),
    ("covered by a rule of another policy", RULES, RULES + MIRRORS.replace("a.example", "api.github.com"), []),
    (
        "it allows more",
        MIRRORS,
        MIRRORS.replace("a.example", "*.example"),
        ["rule mirrors of policy mirrors allows"],
    ),
    ("it denies less", MIRRORS, MIRRORS.replace("**.bad", "a.bad"), ["rule denied of policy mirrors denies less"]),
    ("it denies fewer clients", MIRRORS, MIRRORS + 'clients = ["uid:1"]\n', ["denies less than before: clients"]),
    (
        "it is only watched",
        MIRRORS,
        MIRRORS + 'mode = "audit"\n',
        ["rule denied of policy mirrors is gone", 'policy mirrors: decides nothing any more: its mode is "audit"'],
    ),
    (
        "what its rules do not show",
        MIRRORS + "level = 1\n",
        MIRRORS + "level = 2\n",
        ["policy mirrors: the level is"],
    ),
    ("what rules do not show, lowered", MIRRORS + "level = 2\n", MIRRORS + "level = 1\n", []),
    ("its limit is gone", LEVEL, "", ["policy mirrors of kind mirrors is gone"]),
    ("its limit was only watched", LEVEL + 'mode = "audit"\n', "", []),
    (
        "it cannot compare itself",
        MIRRORS,
        MIRRORS + "is_broken = true\n",
        ["could not be compared with the one"],
    ),
]


class PoliciesTests(DowngradeCase):
    """Changes of policies."""

    def test_table(self) -> None:
        """Every row."""
        self.check(TABLE)

    def test_many_rules(self) -> None:
        """Thousands of changed rules are compared with those of their name, which takes a moment and no more."""
        rule = '[[policy.allow]]\nname = "{0}"\nhosts = ["h{0}.example"]\n'
        old = '[[policy]]\nkind = "destinations"\n' + "".join(rule.format(at) for at in range(2000))

        found = self.find(old, old.replace(".example", ".test"))

        self.assertEqual(2000, len(found))
        self.assertIn("rule 7 of policy destinations allows more than before: hosts (h7.test)", found)
