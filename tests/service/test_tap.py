"""The entry point of twistd: every fault is one line."""

from __future__ import annotations

from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from egress.service.tap import Options, makeService


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def parse(self, *arguments: str) -> Options:
        """Parse arguments."""
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def fault(self, *arguments: str) -> str:
        """Parse what cannot be parsed.

        Returns:
            What would be printed.
        """
        ended = self.assertRaises(SystemExit, self.parse, *arguments)
        self.assertNotIn("\n", str(ended.code))
        return str(ended.code)

    def test_defaults(self) -> None:
        """Nothing is asked for."""
        options = self.parse()

        self.assertEqual((None, [], []), (options["config"], options["allow"], options["listen"]))

    def test_repeated(self) -> None:
        """--allow and --listen may be repeated; the file has a short option."""
        options = self.parse("-c", "a.toml", "--allow", "x", "--allow=y", "--listen", "tcp:1", "--listen", "tcp:2")

        self.assertEqual("a.toml", options["config"])
        self.assertEqual((["x", "y"], ["tcp:1", "tcp:2"]), (options["allow"], options["listen"]))

    def test_unknown_option(self) -> None:
        """An unknown option is one line that says where the options are listed."""
        self.assertIn("--help", self.fault("--permit", "x"))

    def test_missing_value(self) -> None:
        """An option without its value is one line."""
        self.assertTrue(self.fault("--config").startswith("egress-proxy: "))

    def test_stray_argument(self) -> None:
        """An argument that no option takes is refused: a forgotten --config must not start the default."""
        self.fault("egress.toml")

    def test_help_names_the_options(self) -> None:
        """The help lists every option with what it does."""
        text = str(self.parse())

        for words in ("--config", "--allow", "--listen", "HOST:PORT", "tcp:3128"):
            self.assertIn(words, text)


class MakeServiceTests(SynchronousTestCase):
    """Errors of the configuration, before anything is bound."""

    def fault(self, text: str, *arguments: str) -> str:
        """Make a service of a bad file.

        Returns:
            What would be printed.
        """
        name = self.mktemp()
        Path(name).write_text(text, "utf-8")
        options = Options()
        options.parseOptions(["--config", name, *arguments])
        ended = self.assertRaises(SystemExit, makeService, options)
        line = str(ended.code)
        self.assertNotIn("\n", line)
        self.assertIn(f"egress-proxy: {name}: " if not arguments else "egress-proxy: --", line)
        return line

    def test_faults(self) -> None:
        """Each names the file, the place and what is wrong."""
        for text, words in (
            ("guard = yes", "line 1, column 9: is not TOML"),
            ("gaurd = 1", "gaurd: unknown key (did you mean 'guard'?)"),
            ('[[policy]]\nkind = "acme"\n', "policy[0].kind: no plugin"),
            (
                '[[policy]]\nkind = "destinations"\n[[policy.allow]]\nhost = ["a"]\n',
                "policy[0].allow[0].host: unknown key",
            ),
            ('[[listener]]\nname = "a"\nendpoint = "udp:1"\n', "listener[0].endpoint: must begin with"),
        ):
            self.assertIn(words, self.fault(text), text)

    def test_options_are_named(self) -> None:
        """What is wrong with an option names the option instead of the file."""
        self.assertIn("--allow a..b", self.fault("", "--allow", "a..b"))
        self.assertIn("--listen: must begin", self.fault("", "--listen", "udp:1"))


class PluginTests(SynchronousTestCase):
    """twistd finds us."""

    def test_found(self) -> None:
        """There is one plugin of this name, and it is ours."""
        makers = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "egress-proxy"]

        self.assertEqual(["egress.service.tap"], [getattr(maker, "module", "") for maker in makers])
