"""The choice between the engine and the reactor."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.service.build.engine import make_engine
from egress.service.settings.source import load
from egress.transports.engine import is_supported


class ChoiceTests(SynchronousTestCase):
    """The `engine` key."""

    def test_auto(self) -> None:
        """By default it is the engine, where the system can have it."""
        choice = load(None).settings.engine

        self.assertEqual("auto", choice)
        self.assertEqual(is_supported(), make_engine(choice, MemoryReactorClock()) is not None)

    def test_twisted(self) -> None:
        """Twisted's transports can be asked for."""
        self.assertIsNone(make_engine("twisted", MemoryReactorClock()))

    def test_other_words(self) -> None:
        """Anything else is an error."""
        file = self.mktemp()
        Path(file).write_text('engine = "epoll"\n', "utf-8")

        self.assertEqual("engine", self.assertRaises(ConfigError, load, file).where)
