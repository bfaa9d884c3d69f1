"""The limit of open files."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.service.process.descriptors import needed_descriptors, raise_descriptor_limit


class DescriptorTests(SynchronousTestCase):
    """What may be open, and what may be needed."""

    def test_raised(self) -> None:
        """The limit that holds afterwards is told, and raising it twice changes nothing."""
        self.assertEqual(raise_descriptor_limit(), raise_descriptor_limit())

    def test_needed(self) -> None:
        """A connection may need two."""
        self.assertGreaterEqual(needed_descriptors(1000), 2000)
