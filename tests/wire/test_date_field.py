"""Tests of egress.wire.date_field."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.wire.date_field import DateField


class DateFieldTests(SynchronousTestCase):
    """`DateField`."""

    def test_format(self) -> None:
        """The line is that of RFC 9110 section 5.6.7."""
        self.assertEqual(b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", DateField(lambda: 784_111_777.9)())

    def test_time_passes(self) -> None:
        """The line follows the clock, also backwards, and is one object within a second."""
        clock = Clock()
        date_field = DateField(clock.seconds)
        for step in (0.0, 0.4, 0.7, 86_400.0, -3600.0):
            clock.rightNow += step
            line = date_field()
            self.assertEqual(
                int(clock.seconds()), parsedate_to_datetime(line[6:].decode("ascii").strip()).timestamp(), line
            )
            self.assertIs(line, date_field())
