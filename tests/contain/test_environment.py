"""The environment of a contained command."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.contain.environment import CA_BUNDLE, NO_PROXY, PROXY_URL, make_environment

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "1",
    "EGRESS_STATE": "/var/lib/egress",
    "GITHUB_TOKEN": "2",
    "LD_PRELOAD": "/x.so",
    "PROXY_URL": "http://joe:secret@proxy.example:8080",
    "PYTHONPATH": ".",
    "SSH_AUTH_SOCK": "/run/agent",
    "SYSTEM_PROXIES": "[]",
}


class EnvironmentTests(SynchronousTestCase):
    """What passes, and what is set."""

    def test_allow_list(self) -> None:
        """Only variables of the list pass, whatever others there are."""
        made = make_environment({"HOME": "/home/joe", "LC_ALL": "C", "TERM": "x", **SECRETS}, has_bundle=False)

        self.assertEqual(("/home/joe", "C", "x"), (made["HOME"], made["LC_ALL"], made["TERM"]))
        self.assertEqual(set(), set(SECRETS) & set(made))
        self.assertNotIn("secret", repr(made))

    def test_proxy(self) -> None:
        """Every spelling of the proxy's variables leads to it, whatever the caller's led to."""
        outside = {"HTTPS_PROXY": "http://proxy.example:1", "no_proxy": "*", "all_proxy": "socks5://x:1"}
        made = make_environment(outside, has_bundle=False)

        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            self.assertEqual((PROXY_URL, PROXY_URL), (made[name], made[name.lower()]))
        self.assertEqual((NO_PROXY, NO_PROXY), (made["NO_PROXY"], made["no_proxy"]))

    def test_bundle(self) -> None:
        """The bundle's variables are there where the bundle is."""
        self.assertEqual(CA_BUNDLE, make_environment({}, has_bundle=True)["SSL_CERT_FILE"])
        self.assertNotIn("SSL_CERT_FILE", make_environment({}, has_bundle=False))

    def test_passed(self) -> None:
        """A named variable passes, but none of egress's own and none that leads past the proxy."""
        made = make_environment({"GITHUB_TOKEN": "2", "OTHER": "3"}, ["GITHUB_TOKEN"], has_bundle=False)
        self.assertEqual(("2", None), (made["GITHUB_TOKEN"], made.get("OTHER")))
        for name in ("EGRESS_STATE", "PROXY_URL", "SYSTEM_PROXIES", "HTTPS_PROXY", "no_proxy", "JAVA_TOOL_OPTIONS"):
            self.assertRaises(ValueError, make_environment, {}, [name], has_bundle=False)
