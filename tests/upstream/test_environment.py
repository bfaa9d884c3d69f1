"""Proxies of the environment, and URLs of proxies."""

from __future__ import annotations

from itertools import product
from urllib.parse import quote

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.testing.requests import make_authority
from egress.upstream.environment import PROXY_VARIABLES, EnvironmentProxies, read_environment
from egress.upstream.proxy_url import parse_proxy_url

P1, P2, P3 = "http://one.example:3128", "http://two.example:3128", "https://three.example"

# URL, how it is shown, and its credentials.
URLS: list[tuple[str, str, str | None]] = [
    ("http://proxy.example:8080", "http://proxy.example:8080", None),
    ("http://proxy.example:8080/", "http://proxy.example:8080", None),
    ("HTTP://Proxy.Example.:8080", "http://proxy.example:8080", None),
    ("http://proxy.example", "http://proxy.example:80", None),
    ("https://proxy.example", "https://proxy.example:443", None),
    ("https://[2001:DB8::1]:3129", "https://[2001:db8::1]:3129", None),
    ("http://192.0.2.1:3128", "http://192.0.2.1:3128", None),
    ("http://user:hunter2@proxy.example:8080", "http://user:****@proxy.example:8080", "user:hunter2"),
    ("http://us%20er:p%40ss%3aw%25d@proxy.example:1", "http://us%20er:****@proxy.example:1", "us er:p@ss:w%d"),
    ("http://user:a:b@proxy.example:1", "http://user:****@proxy.example:1", "user:a:b"),
    ("http://user:p%C3%A4ss@proxy.example:1", "http://user:****@proxy.example:1", "user:p\u00e4ss"),
    ("http://token@proxy.example:1", "http://****@proxy.example:1", "token:"),
    ("http://token:@proxy.example:1", "http://****@proxy.example:1", "token:"),
]

# Without a scheme: what is shown, and the credentials.
SCHEMELESS: list[tuple[str, str, str | None]] = [
    ("proxy.example:8080", "http://proxy.example:8080", None),
    ("localhost:3128", "http://localhost:3128", None),
    ("192.0.2.1:3128/", "http://192.0.2.1:3128", None),
    ("[2001:db8::1]:3128", "http://[2001:db8::1]:3128", None),
    ("user:hunter2@proxy.example:8080", "http://user:****@proxy.example:8080", "user:hunter2"),
]

UNUSABLE_URLS = [
    "proxy.example", "user:hunter2@proxy.example", "[2001:db8::1]", "2001:db8::1", "proxy.example:", "proxy.example:0",
    "http:proxy.example:80", "socks5:proxy.example:1080", "//proxy.example:80", "://proxy.example",
    "http:/proxy.example", "http://", "http://:8080", "http://proxy.example:", "http://proxy.example:0",
    "http://proxy.example:65536", "http://proxy.example:http", "http://proxy.example:80:80", "http://2001:db8::1:80",
    "http://[proxy.example]:80", "http://[fe80::1%25eth0]:80", "http://proxy.example:80/path", "http://proxy.example:80?q",
    "http://proxy.example:80#f", "socks5://proxy.example:1080", "socks5h://user:hunter2@proxy.example:1080",
    "ftp://proxy.example:21", "hunter2://proxy.example", "http://@proxy.example:80", "http://:hunter2@proxy.example:80",
    "http://user:hunter2%@proxy.example:80", "http://user:%zzhunter2@proxy.example:80",
    "http://user:hunter2%ff@proxy.example:80", "http://user:hunter2%0d%0ax@proxy.example:80",
    "http://user:hunter2%00@proxy.example:80", "http://user:hunter2%7f@proxy.example:80",
    "http://user:hunter2%c2%85@proxy.example:80", "http://us%3aer:hunter2@proxy.example:80",
    "http://user:hunter2@x@proxy.example:80", "http://user:hunter2/x@proxy.example:80",
    "http://proxy.example:80\x00", "http://pr\u00f6xy.example:80", "\u00a0http://proxy.example:80",
    "http://pro xy.example:80", "http://proxy.example:80\nx", "direct", "none",
    "http://user:hunter2@", "http://proxy_.-.example:80", "http://1.2.3.4.5:80",
]  # fmt: skip

# The environment, then the proxies for CONNECT and for plain HTTP.
CHOICES: list[tuple[dict[str, str], str, str]] = [
    ({}, "", ""),
    ({"HTTPS_PROXY": "", "http_proxy": "", "ALL_PROXY": ""}, "", ""),
    ({"HTTPS_PROXY": P1, "HTTP_PROXY": P2}, "HTTPS_PROXY one", "HTTP_PROXY two"),
    ({"https_proxy": P1, "http_proxy": P2}, "HTTPS_PROXY one", "HTTP_PROXY two"),
    ({"HTTPS_PROXY": P1}, "HTTPS_PROXY one", "HTTPS_PROXY one"),
    ({"HTTP_PROXY": P2}, "", "HTTP_PROXY two"),
    ({"ALL_PROXY": P3}, "ALL_PROXY three", "ALL_PROXY three"),
    ({"all_proxy": P3, "HTTPS_PROXY": P1}, "HTTPS_PROXY one", "ALL_PROXY three"),
    ({"ALL_PROXY": P3, "HTTP_PROXY": P2}, "ALL_PROXY three", "HTTP_PROXY two"),
    ({"PROXY_URL": P3, "HTTPS_PROXY": P1, "HTTP_PROXY": P2}, "PROXY_URL three", "PROXY_URL three"),
    ({"PROXY_URL": "", "HTTPS_PROXY": P1}, "HTTPS_PROXY one", "HTTPS_PROXY one"),
    ({"proxy_url": P3}, "", ""),
    ({"https_proxy": P2, "HTTPS_PROXY": P1}, "HTTPS_PROXY two", "HTTPS_PROXY two"),
    ({"https_proxy": "", "HTTPS_PROXY": P1}, "HTTPS_PROXY one", "HTTPS_PROXY one"),
    ({"REQUEST_METHOD": "GET", "HTTP_PROXY": P2}, "", ""),
    ({"REQUEST_METHOD": "", "HTTP_PROXY": P2, "ALL_PROXY": P3}, "ALL_PROXY three", "ALL_PROXY three"),
    ({"REQUEST_METHOD": "GET", "http_proxy": P2}, "", "HTTP_PROXY two"),
    ({"HTTPS_PROXY": "one.example:3128"}, "HTTPS_PROXY one", "HTTPS_PROXY one"),
    ({"HTTPS_PROXY": f" \t{P1}\r\n"}, "HTTPS_PROXY one", "HTTPS_PROXY one"),
    ({"https_proxy": " \n", "HTTPS_PROXY": f"{P1}\n"}, "HTTPS_PROXY one", "HTTPS_PROXY one"),
]

# The environment, and a word of each warning.
WARNINGS: list[tuple[dict[str, str], list[str]]] = [
    ({"HTTPS_PROXY": P1, "NO_PROXY": "corp.com"}, []),
    ({"HTTPS_PROXY": P1, "https_proxy": P1}, []),
    ({"HTTPS_PROXY": P1, "https_proxy": P2}, ["https_proxy and HTTPS_PROXY differ"]),
    ({"HTTPS_PROXY": P1, "NO_PROXY": "a", "no_proxy": "b"}, ["no_proxy and NO_PROXY differ"]),
    ({"HTTPS_PROXY": P1, "NO_PROXY": "a,*"}, ["everything goes direct"]),
    (
        {"HTTPS_PROXY": P1, "NO_PROXY": "a,192.168.,10.*"},
        ["NO_PROXY: what these entries mean goes through the proxy: "],
    ),
    ({"HTTPS_PROXY": P1, "no_proxy": "10."}, ["'10.' (these numbers are neither an address nor a network; write the "]),
    ({"HTTPS_PROXY": P1, "NO_PROXY": "\n,a , \n"}, []),
    ({"HTTPS_PROXY": P1, "NO_PROXY": " , ,"}, []),
    ({"NO_PROXY": "a"}, ["NO_PROXY is set and applies to no proxy"]),
    ({"NO_PROXY": "*,<local>"}, ["NO_PROXY is set and applies to no proxy"]),
    ({"HTTPS_PROXY": P1, "https_proxy": f"{P1}\n"}, []),
    (
        {"HTTPS_PROXY": "bad", "https_proxy": P2},
        ["differ", "HTTPS_PROXY is not used. Its value is invalid: has neither"],
    ),
    (
        {"PROXY_URL": P1, "HTTPS_PROXY": "bad", "ALL_PROXY": "socks5://proxy.example"},
        ["HTTPS_PROXY is not used. Its value is invalid: ", "ALL_PROXY is not used. Its value is invalid: SOCKS"],
    ),
    (
        {"HTTPS_PROXY": P1, "HTTP_PROXY": P2, "ALL_PROXY": "\udcff"},
        ["ALL_PROXY is not used. Its value is invalid: is not"],
    ),
    ({"HTTP_PROXY": P1}, ["HTTPS_PROXY is not"]),
    ({"HTTP_PROXY": P1, "REQUEST_METHOD": "GET"}, ["REQUEST_METHOD"]),
]


def spell(routing: EnvironmentProxies) -> tuple[str, str]:
    """Give the variable and the first label of the host, for tunnels and for plain HTTP."""
    first, second = (
        f"{proxy.variable} {proxy.address.authority.host.partition('.')[0]}" if proxy is not None else ""
        for proxy in (routing.tunnel, routing.plain)
    )
    return first, second


class ProxyUrlTests(SynchronousTestCase):
    """The address of a proxy."""

    def test_urls(self) -> None:
        """Scheme, host, port and credentials are read; the password is not shown."""
        for text, shown, credentials in URLS:
            address = parse_proxy_url(text, "HTTPS_PROXY")
            self.assertEqual(str(address), shown, text)
            self.assertEqual(address.credentials and address.credentials.reveal(), credentials, text)

    def test_without_scheme(self) -> None:
        """Without a scheme it is that of the caller, where there is a port; the configuration's URLs have one."""
        for text, shown, credentials in SCHEMELESS:
            address = parse_proxy_url(text, "HTTPS_PROXY", "http")
            self.assertEqual(str(address), shown, text)
            self.assertEqual(address.credentials and address.credentials.reveal(), credentials, text)
            with self.assertRaises(ConfigError) as caught:
                parse_proxy_url(text, "url")
            self.assertIn("has no scheme", caught.exception.problem)

    def test_unusable(self) -> None:
        """What is no proxy's address is an error that repeats nothing of it."""
        for text, default_scheme in product(UNUSABLE_URLS, ("", "http")):
            with self.assertRaises(ConfigError, msg=repr(text)) as caught:
                parse_proxy_url(text, "HTTPS_PROXY", default_scheme)
            self.assertEqual(caught.exception.where, "HTTPS_PROXY")
            self.assertNotIn("hunter2", str(caught.exception))
            self.assertTrue(str(caught.exception).isascii() and str(caught.exception).isprintable())

    def test_socks_is_named(self) -> None:
        """Who sets a SOCKS proxy learns that this is the trouble."""
        with self.assertRaises(ConfigError) as caught:
            parse_proxy_url("socks5h://proxy.example:1080", "ALL_PROXY")
        self.assertIn("SOCKS", caught.exception.problem)

    @given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1), st.text(min_size=4).map("q9Z~".__add__))
    def test_no_spelling_shows_a_password(self, user: str, password: str) -> None:
        """Whatever the password is, no repr, str or error holds it, as it is or encoded."""
        encoded = quote(password, safe="", errors="surrogatepass")
        url = f"http://{quote(user, safe='')}:{encoded}@proxy.example:8080"
        spellings: list[str] = []
        for value in (url, url + "/x", url.removeprefix("http://"), url.replace("http", "socks5"), url + "0000"):
            try:
                routing = read_environment({"HTTPS_PROXY": value, "NO_PROXY": "*"})
            except ConfigError as error:
                spellings += (str(error), repr(error), repr(error.__cause__), error.where)
            else:
                assert routing.tunnel is not None
                address = routing.tunnel.address
                spellings += (str(address), repr(address), repr(routing), str(routing.tunnel), *routing.warnings)
        assume(password not in user and encoded not in quote(user, safe=""))
        for spelling in spellings:
            self.assertNotIn(password, spelling)
            self.assertNotIn(encoded, spelling)

    @given(
        st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=":"), min_size=1),
        st.text(st.characters(exclude_categories=("Cc", "Cs"))),
    )
    def test_credentials_come_back(self, user: str, password: str) -> None:
        """Any user and password without control characters can be written in a URL."""
        url = f"https://{quote(user, safe='')}:{quote(password, safe='')}@proxy.example"

        credentials = parse_proxy_url(url, "").credentials

        assert credentials is not None
        self.assertEqual(credentials.reveal(), f"{user}:{password}")

    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        """Any text is an address or a ConfigError."""
        for value in (text, f"http://{text}", f"http://{text}@proxy.example", f"{text}:80", f"{text}@proxy.example:80"):
            try:
                address = parse_proxy_url(value, "where", "http")
            except ConfigError as error:
                self.assertEqual(error.where, "where")
            else:
                self.assertIn(address.scheme, ("http", "https"))


class EnvironmentTests(SynchronousTestCase):
    """Which variable counts."""

    def test_choices(self) -> None:
        """Each front finds its proxy by the documented order; an empty value is none."""
        for environ, tunnel, plain in CHOICES:
            self.assertEqual(spell(read_environment(environ)), (tunnel, plain), environ)

    def test_warnings(self) -> None:
        """What an operator may not have meant is said, once."""
        for environ, expected in WARNINGS:
            warnings = read_environment(environ).warnings
            self.assertEqual(len(warnings), len(expected), (environ, warnings))
            for warning, word in zip(warnings, expected, strict=True):
                self.assertIn(word, warning)

    def test_unusable_names_the_variable(self) -> None:
        """A value that is used and names no proxy ends the start, by the name that it was written under."""
        for variable in (*PROXY_VARIABLES, "https_proxy", "http_proxy", "all_proxy"):
            for value in UNUSABLE_URLS:
                with self.assertRaises(ConfigError) as caught:
                    read_environment({variable: value})
                self.assertEqual(caught.exception.where, variable)
                self.assertNotIn("hunter2", str(caught.exception))
        with self.assertRaises(ConfigError) as caught:
            read_environment({"HTTPS_PROXY": P1, "ALL_PROXY": "socks5://proxy.example"})
        self.assertEqual(caught.exception.where, "ALL_PROXY")

    def test_unusable_and_unused(self) -> None:
        """A value that is not used ends no start. One warning names its variable, and shows nothing of it."""
        used = {"PROXY_URL": P1, "https_proxy": P1, "http_proxy": P1, "all_proxy": P1}
        for variable in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"):
            for value in UNUSABLE_URLS:
                routing = read_environment({**used, variable: value})
                self.assertEqual(spell(routing), ("PROXY_URL one", "PROXY_URL one"))
                said = [each for each in routing.warnings if each.startswith(f"{variable} is not used. Its value")]
                self.assertEqual(len(said), 1, (variable, value))
                self.assertNotIn("hunter2", str(routing.warnings))

    def test_no_route_by_the_environment(self) -> None:
        """Where no route leads through the environment's proxies, nothing of it ends the start or is said to be so."""
        environ = {"HTTPS_PROXY": "socks5://user:hunter2@proxy.example", "HTTP_PROXY": P2, "NO_PROXY": "<local>"}

        routing = read_environment(environ, is_used=False)

        self.assertEqual(spell(routing), ("", "HTTP_PROXY two"))
        first, second = routing.warnings
        self.assertTrue(first.startswith("HTTPS_PROXY is not used. Its value is invalid: SOCKS proxies"), first)
        self.assertEqual(second, "NO_PROXY is set and applies to no proxy, so it has no effect.")

    def test_inherited_no_proxy(self) -> None:
        """Where an upstream inherits NO_PROXY, its entries matter without a proxy of the environment."""
        routing = read_environment({"NO_PROXY": "<local>,*"}, is_used=False, is_no_proxy_inherited=True)

        self.assertTrue(routing.no_proxy.is_all)
        self.assertEqual(len(routing.warnings), 1)
        self.assertIn("'<local>' (the names without a dot are listed one by one)", routing.warnings[0])

    def test_left_out(self) -> None:
        """One warning quotes every entry of NO_PROXY that was left out, with what to write."""
        entries = {
            "<local>": "'<local>' (the names without a dot are listed one by one)",
            "192.168.*": "'192.168.*' (these numbers are neither an address nor a network; write the network as "
            "192.168.0.0/16)",
            "10.0.0.0/255.0.0.0": "'10.0.0.0/255.0.0.0' (these numbers are neither an address nor a network; write the "
            "network as 10.0.0.0/8)",
            "a.example b.example": "'a.example b.example' (entries are separated by commas, and by nothing else)",
            "a.example;b.example": "'a.example;b.example' (entries are separated by commas, and by nothing else)",
            "\udcff.example": "'\\udcff.example' (the host is not a valid internationalised name (IDNA 2008))",
        }

        routing = read_environment({"HTTPS_PROXY": P1, "no_proxy": ",".join(["x.example", *entries])})

        (warning,) = routing.warnings
        said = f"no_proxy: what these entries mean goes through the proxy: {'; '.join(entries.values())}. Entries are "
        self.assertTrue(warning.startswith(said), warning)
        self.assertTrue(routing.no_proxy.matches_name(make_authority("x.example", 443)))
        self.assertFalse(routing.no_proxy.matches_name(make_authority("a.example", 443)))

    def test_left_out_url(self) -> None:
        """A list with a URL is not quoted: any part of it may belong to a password."""
        routing = read_environment({"HTTPS_PROXY": P1, "NO_PROXY": "<local>,http://user:p,hun ter2,x@proxy.example"})

        self.assertEqual(len(routing.warnings), 1)
        self.assertIn("entry 1 (the names without", routing.warnings[0])
        self.assertIn("entry 2 (this is a URL; write its host alone)", routing.warnings[0])
        self.assertNotIn("hun ter2", routing.warnings[0])

    def test_undecodable(self) -> None:
        """Octets that are no text in the system's encoding are refused and not repeated."""
        with self.assertRaises(ConfigError) as caught:
            read_environment({"HTTPS_PROXY": "http://u:\udcff@p"})
        self.assertEqual(caught.exception.where, "HTTPS_PROXY")
        self.assertTrue(str(caught.exception).isascii())

    def test_no_proxy(self) -> None:
        """Lower case counts here too, and this machine is always in it."""
        routing = read_environment({"HTTPS_PROXY": P1, "NO_PROXY": "a.example", "no_proxy": "b.example"})

        self.assertTrue(routing.no_proxy.matches_name(make_authority("b.example", 443)))
        self.assertFalse(routing.no_proxy.matches_name(make_authority("a.example", 443)))
        self.assertTrue(routing.no_proxy.matches_name(make_authority("localhost", 443)))
        self.assertTrue(read_environment({}).no_proxy.matches_name(make_authority("127.0.0.1", 80)))

    def test_proxies(self) -> None:
        """Each proxy in use is given once, those that do not count not at all."""
        routing = read_environment({"HTTPS_PROXY": P1, "HTTP_PROXY": P2, "ALL_PROXY": P3})
        self.assertEqual([proxy.variable for proxy in routing.proxies], ["HTTPS_PROXY", "HTTP_PROXY"])
        self.assertEqual([proxy.variable for proxy in read_environment({"ALL_PROXY": P3}).proxies], ["ALL_PROXY"])
