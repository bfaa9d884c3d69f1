"""What a reload says of a configuration that protects less."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from egress.service.settings import Settings, load
from egress.service.weakening import weakenings

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

# A name, the old file, the new one, and what is said; each sentence by a part of it.
TABLE: list[tuple[str, str, str, list[str]]] = [
    ("nothing changed", RULES, RULES, []),
    ("guard off", "", "[guard]\nenabled = false", ["the guard is off"]),
    ("guard on", "[guard]\nenabled = false", "", []),
    ("names in tunnels", "", '[tls]\nsni = "record"', ['tls.sni is "record"']),
    ("limits are no protection", "", "[limits]\nconnections = 100000", []),
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
        ["rule telemetry of policy destinations is gone", "policy destinations decides nothing any more"],
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
    ("rate for some", RATE, RATE + 'clients = ["uid:1"]\n', ["policy rate limits other clients than before, or fewer"]),
    ("rate watched", RATE, RATE + 'mode = "audit"\n', ["policy rate limits nothing any more"]),
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
    (
        "open to other machines",
        LISTENER.format("tcp:3128:interface=127.0.0.1"),
        LISTENER.format("tcp:3128"),
        ["listener agents can be reached by other machines"],
    ),
    ("closed to other machines", LISTENER.format("tcp:1"), LISTENER.format("tcp:1:interface=127.0.0.1"), []),
    (
        "open to other users",
        LISTENER.format("unix:/run/door"),
        LISTENER.format("unix:/run/door:mode=660"),
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
    ("a listener without a road", VIA.format("corp"), VIA.format(""), ["has no road of its own any more"]),
    ("a listener with a road", VIA.format(""), VIA.format("corp"), []),
    ("direct allowed", '[roads]\ndirect = "refuse"', "", ['roads.direct is "allow": anything may go out']),
    ("direct by NO_PROXY", '[roads]\ndirect = "refuse"', '[roads]\ndirect = "no_proxy"', ["whatever NO_PROXY lists"]),
    ("direct refused", "", '[roads]\ndirect = "refuse"', []),
    ("direct by default", CORP, CORP + '[roads]\ndefault = "direct"', ['roads.default is "direct"']),
    ("a route that refused", ROUTE, "", ["route never no longer refuses **.bad.example"]),
    ("a route that refuses less", ROUTE, ROUTE + "ports = [80]\n", ["route never no longer refuses **.bad.example"]),
    ("a route that refuses more", ROUTE, ROUTE.replace("**.bad.example", "**.example"), []),
    ("a direct route", "", ROUTE.replace("refuse", "direct"), ["route never lets **.bad.example go out without a"]),
    ("plaintext credentials", CORP, CORP.replace("https://", "http://"), ["upstream corp: it is reached without TLS"]),
    ("names left to it", CORP, CORP + 'delegate = ["**.corp.example"]\n', ["more names are left to it"]),
    ("all names left to it", CORP, CORP + 'dns = "remote"\n', ['dns is "remote"']),
    ("past it", CORP, CORP + 'no_proxy = "a.example"\n', ["no_proxy changed"]),
    ("its authorities", CORP, CORP + 'ca = "x.pem"\n', ["other authorities are trusted"]),
    (
        "more of its authorities",
        CORP + 'ca = "x.pem"\nca_mode = "replace"\n',
        CORP + 'ca = "x.pem"\n',
        ["the system's authorities are trusted too"],
    ),
    ("a sink gone", '[audit]\nto = ["file", "journald"]', "", ["no longer goes to journald"]),
    ("less of each path", '[audit]\npaths = "full"', "", ['audit.paths is "first"']),
    ("whole paths", "", '[audit]\npaths = "full"', ["which may hold secrets"]),
    ("unrecorded", '[audit]\non_loss = "refuse"', "", ['audit.on_loss is "continue"']),
    ("unsealed", "[audit]\nchain = true", "", ["audit.chain is off"]),
]


class WeakeningTests(SynchronousTestCase):
    """Each change is named if it weakens, and not if it does not."""

    def load(self, text: str) -> Settings:
        """Load a file with this text."""
        path = Path(self.mktemp())
        path.write_text(text, "utf-8")
        return load(str(path)).settings

    def test_table(self) -> None:
        """Every row."""
        for name, old, new, said in TABLE:
            found = weakenings(self.load(old), self.load(new))
            self.assertEqual(len(said), len(found), f"{name}: {found}")
            for part, sentence in zip(said, found, strict=True):
                self.assertIn(part, sentence, name)
                self.assertTrue(sentence.isascii(), name)

    def test_many_rules(self) -> None:
        """Thousands of changed rules are compared with those in their place, which takes a moment and no more."""
        rule = '[[policy.allow]]\nname = "{0}"\nhosts = ["h{0}.example"]\n'
        old = '[[policy]]\nkind = "destinations"\n' + "".join(rule.format(at) for at in range(2000))

        found = weakenings(self.load(old), self.load(old.replace(".example", ".test")))

        self.assertEqual(2000, len(found))
        self.assertIn("rule 7 of policy destinations allows more than before: hosts (h7.test)", found)
