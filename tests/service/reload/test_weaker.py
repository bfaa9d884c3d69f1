"""What a reload says of a configuration that protects less."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from egress.service.reload.weaker import weakenings
from egress.service.settings.settings import Settings, load

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

# A name, the old file, the new one, and what is said; each sentence by a part of it.
TABLE: list[tuple[str, str, str, list[str]]] = [
    ("nothing changed", RULES, RULES, []),
    ("guard off", "", "[guard]\nenabled = false", ["the guard is off"]),
    ("guard on", "[guard]\nenabled = false", "", []),
    ("names in tunnels", "", '[tls]\nsni = "record"', ['tls.sni is "record"']),
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
