"""Discovery of plugins: duplicate, broken or untrusted plugins prevent the start."""

from __future__ import annotations

import os
import pickle
import sys
from importlib import import_module
from itertools import count
from pathlib import Path
from types import ModuleType

from twisted.logger import capturedLogs
from twisted.plugin import CachedDropin, CachedPlugin
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from egress.errors import ConfigError
from egress.interfaces import IPolicyMaker
from egress.policy.discovery import find_makers

SECRET = "a-word-that-must-not-be-seen"

GOOD = """
from zope.interface import implementer
from egress.interfaces import IPolicyMaker
from egress.testing import FixedPolicy

@implementer(IPolicyMaker)
class Maker:
    def __init__(self, kind):
        self.kind = kind
    def make_policy(self, name, settings, host):
        return FixedPolicy(name)

maker = Maker("KIND")
"""


class FindTests(SynchronousTestCase):
    """`find_makers`, on plugin packages made for the purpose."""

    _number = count()

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.name = f"plugins_of_a_test_{next(self._number)}"
        self.place = self.root / self.name
        self.place.mkdir(parents=True)
        (self.place / "__init__.py").write_text("")
        self.patch(sys, "path", [str(self.root), *sys.path])
        self.addCleanup(self.forget)

    def forget(self) -> None:
        for module in [module for module in sys.modules if module.partition(".")[0] == self.name]:
            del sys.modules[module]

    def write(self, module: str, source: str, place: Path | None = None) -> Path:
        path = (place or self.place) / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return path

    def package(self, *more: Path) -> ModuleType:
        package = import_module(self.name)
        package.__path__.extend(str(place) for place in more)
        return package

    def problem(self, *more: Path) -> str:
        with self.assertRaises(ConfigError) as caught:
            find_makers(self.package(*more))
        self.assertNotIn(SECRET, str(caught.exception))
        return str(caught.exception)

    def test_several_directories(self) -> None:
        """Makers are found in every directory of the package; those that are not there do no harm."""
        self.write("one", GOOD.replace("KIND", "first"))
        elsewhere = self.root / "elsewhere"
        self.write("two", GOOD.replace("KIND", "second"), elsewhere)

        self.assertEqual(set(find_makers(self.package(elsewhere, self.root / "absent"))), {"first", "second"})

    def test_borrowed_maker(self) -> None:
        """A maker that another plugin imports is one maker."""
        self.write("one", GOOD.replace("KIND", "first"))
        self.write("two", f"from {self.name}.one import maker")

        self.assertEqual(set(find_makers(self.package())), {"first"})

    def test_no_plugins(self) -> None:
        """An empty package has no makers."""
        self.assertEqual(find_makers(self.package()), {})

    def test_doubled_kind(self) -> None:
        """Two makers of one kind are both named."""
        self.write("one", GOOD.replace("KIND", "same"))
        self.write("two", GOOD.replace("KIND", "same"))

        problem = self.problem()

        for word in ("'same'", f"{self.name}.one.maker", f"{self.name}.two.maker"):
            self.assertIn(word, problem)

    def test_doubled_module(self) -> None:
        """A module that hides another one of the same name is not taken silently."""
        self.write("one", GOOD.replace("KIND", "first"))
        elsewhere = self.root / "elsewhere"
        self.write("one", GOOD.replace("KIND", "second"), elsewhere)

        self.assertIn("one is there twice", self.problem(elsewhere))

    def test_failing_modules(self) -> None:
        """A module that cannot be imported is named with the exception's type, never its text."""
        for number, (source, kind) in enumerate(
            (
                ("import a_module_that_does_not_exist", "ModuleNotFoundError"),
                ("def (", "SyntaxError"),
                (f"raise ValueError({SECRET!r})", "ValueError"),
                ("raise SystemExit(1)", "SystemExit"),
                ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            )
        ):
            path = self.write(f"broken{number}", source)
            problem = self.problem()
            self.assertIn(f"{self.name}.broken{number}", problem)
            self.assertIn(kind, problem)
            path.unlink()

    def test_broken_makers(self) -> None:
        """A maker that breaks its contract is named."""
        for number, (old, new, problem) in enumerate(
            (
                ("make_policy", "make_polizy", "make_policy is missing"),
                ("self, name, settings, host", "self, name", "make_policy does not take"),
                ("self.kind = kind", "pass", "kind is missing"),
                ("self.kind = kind", "self.kind = 7", "its kind is not a word"),
                ("KIND", "", "its kind is not a word"),
            )
        ):
            path = self.write(f"broken{number}", GOOD.replace(old, new))
            said = self.problem()
            self.assertIn(f"{self.name}.broken{number}.maker", said)
            self.assertIn(problem, said)
            path.unlink()

    def test_working_directory(self) -> None:
        """The working directory is no plugin directory."""
        here = self.root / "here"
        self.write("one", GOOD, here)
        self.patch(os, "getcwd", lambda: str(here))

        self.assertIn(f"{here} is taken from the working directory", self.problem(here))

    def test_below_the_working_directory(self) -> None:
        """Nor is one below it, where Python looks for modules in the working directory."""
        here = self.root / "here"
        self.write("one", GOOD, here / "egress" / "plugins")
        self.patch(os, "getcwd", lambda: str(here))
        package = self.package(here / "egress" / "plugins")
        self.assertEqual(set(find_makers(package)), {"KIND"})

        for entry in ("", str(here)):
            self.patch(sys, "path", [entry, *sys.path])
            with self.assertRaises(ConfigError) as caught:
                find_makers(package)
            self.assertIn("working directory", caught.exception.problem)

    def test_environment_in_the_working_directory(self) -> None:
        """An environment's own plugins are fine, also where the environment lies in the working directory."""
        here = self.root / "here"
        site = here / ".venv" / "site-packages"
        self.write("one", GOOD, site / "egress" / "plugins")
        self.patch(os, "getcwd", lambda: str(here))
        self.patch(sys, "path", [str(here), str(site), *sys.path])

        self.assertEqual(set(find_makers(self.package(site / "egress" / "plugins"))), {"KIND"})

    def test_own_directory(self) -> None:
        """The package's own directory may be below the working directory: who can change it can change all of it."""
        self.write("one", GOOD)
        self.patch(os, "getcwd", lambda: str(self.root))

        self.assertEqual(set(find_makers(self.package())), {"KIND"})

    def test_working_directory_is_gone(self) -> None:
        """A working directory that was removed is nobody's."""

        def getcwd() -> str:
            raise FileNotFoundError

        self.patch(os, "getcwd", getcwd)

        self.assertEqual(find_makers(self.package()), {})

    def test_writable_by_everybody(self) -> None:
        """What everybody can write is not run: directory, module or cache."""
        module = self.write("one", GOOD)
        cache = self.place / "dropin.cache"
        cache.write_bytes(pickle.dumps({}))
        for path in (self.place, module, cache):
            mode = path.stat().st_mode
            path.chmod(mode | 0o002)
            self.assertIn(f"{path} can be written by everybody", self.problem())
            path.chmod(mode)

        self.assertEqual(set(find_makers(self.package())), {"KIND"})

    def test_writable_by_a_group(self) -> None:
        """A group's write permission is only good for root's group and the user's own."""
        self.place.chmod(0o775)
        os.chown(self.place, -1, os.getegid())
        self.assertEqual(find_makers(self.package()), {})
        if os.geteuid() != 0:
            raise SkipTest("only root can give a directory to a group that it is not in")
        os.chown(self.place, -1, 54321)

        self.assertIn("can be written by the group 54321", self.problem())

    def test_owned_by_others(self) -> None:
        """What belongs to somebody else is not run."""
        if os.geteuid() != 0:
            raise SkipTest("only root can give a file away")
        module = self.write("one", GOOD)
        os.chown(module, 54321, -1)

        self.assertIn(f"{module} belongs to uid 54321", self.problem())

    def test_owned_by_who_installed(self) -> None:
        """What belongs to whoever installed the package is run."""
        if os.geteuid() != 0:
            raise SkipTest("only root can give a file away")
        for path in (self.place, self.write("one", GOOD)):
            os.chown(path, 54321, -1)

        self.assertEqual(set(find_makers(self.package())), {"KIND"})

    def test_cache_hides(self) -> None:
        """A cache that is newer than a plugin and does not know it does not hide it."""
        self.write("one", GOOD)
        self.write_cache("one", [])

        with capturedLogs() as events:
            self.assertEqual(set(find_makers(self.package())), {"KIND"})

        self.assertIn("is out of date", str([event["log_format"] for event in events]))

    def test_cache_invents(self) -> None:
        """A cache that lists what is no longer there does not invent it."""
        self.write("one", GOOD)
        self.write_cache("one", ["maker", "vanished"])

        self.assertEqual(set(find_makers(self.package())), {"KIND"})
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_cache_unreadable(self) -> None:
        """A cache that is no pickle, or none of ours, changes nothing."""
        self.write("one", GOOD)
        for content in (b"not a pickle", pickle.dumps(["no", "cache"]), b""):
            cache = self.place / "dropin.cache"
            cache.write_bytes(content)
            os.utime(cache, (2e9, 2e9))

            self.assertEqual(set(find_makers(self.package())), {"KIND"})

    def write_cache(self, module: str, attributes: list[str]) -> None:
        dropin = CachedDropin(f"{self.name}.{module}", None)
        for attribute in attributes:
            CachedPlugin(dropin, attribute, None, [IPolicyMaker])
        cache = self.place / "dropin.cache"
        cache.write_bytes(pickle.dumps({module: dropin}))
        os.utime(cache, (2e9, 2e9))
