"""The assembler of filters."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.contain.bpf import EQUAL, LOAD, RETURN, Program
from tests.contain.machine import execute


class ProgramTests(SynchronousTestCase):
    """Instructions and labels."""

    def test_jumps(self) -> None:
        """Jumps lead to labels and over numbers of instructions."""
        program = Program()
        program.add(LOAD, 0)
        program.add(EQUAL, 1, then="one")
        program.add(EQUAL, 2, otherwise=1)
        program.add(RETURN, 22)
        program.add(RETURN, 33)
        program.label("one")
        program.add(RETURN, 11)
        octets = program.assemble()

        self.assertEqual(6 * 8, len(octets))
        self.assertEqual([33, 11, 22, 33], [execute(octets, 0, number) for number in range(4)])

    def test_faults(self) -> None:
        """A label is there once, ahead, and near enough."""
        missing = Program()
        missing.add(EQUAL, 1, then="x")
        self.assertRaises(ValueError, missing.assemble)
        backward = Program()
        backward.label("x")
        backward.add(EQUAL, 1, then="x")
        self.assertRaises(ValueError, backward.assemble)
        far = Program()
        far.add(EQUAL, 1, then="x")
        for _ in range(256):
            far.add(RETURN, 0)
        far.label("x")
        self.assertRaises(ValueError, far.assemble)
        self.assertRaises(ValueError, far.label, "x")
