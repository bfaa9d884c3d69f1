"""Assembles classic BPF programs for seccomp filters (Documentation/networking/filter.rst, seccomp(2))."""

from __future__ import annotations

import struct

LOAD = 0x20
"""Load the 32-bit word of `struct seccomp_data` at an offset."""
EQUAL, GREATER_OR_EQUAL, ANY_BIT = 0x15, 0x35, 0x45
"""Compare the loaded word with a constant, and jump."""
RETURN = 0x06
AND = 0x54

_LONGEST_JUMP = 255


class Program:
    """Instructions with labels, in order. Jumps go forward only, as the kernel requires."""

    def __init__(self) -> None:
        self._instructions: list[tuple[int, int, str | int, str | int]] = []
        self._labels: dict[str, int] = {}

    def label(self, name: str) -> None:
        """Name the next instruction.

        Raises:
            ValueError: the name is in use.
        """
        if name in self._labels:
            raise ValueError(f"the label {name} is in use")
        self._labels[name] = len(self._instructions)

    def add(self, code: int, constant: int = 0, then: str | int = 0, otherwise: str | int = 0) -> None:
        """Append an instruction.

        Args:
            code: of the constants of this module.
            constant: the operand.
            then: where a comparison jumps when it holds: a label, or the number of skipped instructions.
            otherwise: where it jumps when it does not hold.
        """
        self._instructions.append((code, constant & 0xFFFF_FFFF, then, otherwise))

    def assemble(self) -> bytes:
        """Return the program as an array of `struct sock_filter`.

        Raises:
            ValueError: a label is missing, or a jump goes backward or too far.
        """
        return b"".join(
            struct.pack("=HBBI", code, self._distance(at, then), self._distance(at, otherwise), constant)
            for at, (code, constant, then, otherwise) in enumerate(self._instructions)
        )

    def _distance(self, at: int, target: str | int) -> int:
        if isinstance(target, int):
            return target
        if target not in self._labels:
            raise ValueError(f"there is no label {target}")
        distance = self._labels[target] - at - 1
        if not 0 <= distance <= _LONGEST_JUMP:
            raise ValueError(f"the jump to {target} goes backward or too far")
        return distance
