"""Runs classic BPF programs over `struct seccomp_data`, as the kernel does (seccomp(2))."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from egress.contain.bpf import AND, ANY_BIT, EQUAL, GREATER_OR_EQUAL, LOAD, RETURN


def execute(program: bytes, architecture: int, number: int, arguments: Sequence[int] = ()) -> int:
    """Return what a program decides about a system call."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=iIQ6Q", number - (number & 0x8000_0000) * 2, architecture, 0, *padded)
    accumulator, at = 0, 0
    while True:
        code, then, otherwise, constant = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == LOAD:
            (accumulator,) = struct.unpack_from("=I", data, constant)
        elif code == AND:
            accumulator &= constant
        elif code == RETURN:
            return int(constant)
        elif code == EQUAL:
            at += then if accumulator == constant else otherwise
        elif code == GREATER_OR_EQUAL:
            at += then if accumulator >= constant else otherwise
        elif code == ANY_BIT:
            at += then if accumulator & constant else otherwise
        else:
            raise AssertionError(f"an instruction {code:#x} that no filter has")
