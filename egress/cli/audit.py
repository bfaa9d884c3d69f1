"""`egress audit`: checks of the audit log."""

from __future__ import annotations

import fcntl
from typing import BinaryIO

import click

from egress.audit.selection import escaped
from egress.audit.verification import Summary
from egress.audit.verification import verify as check
from egress.errors import AuditLogCorrupt

EXIT_WHOLE = 0
EXIT_ALTERED = 1
EXIT_UNCHAINED = 2
EXIT_TRUNCATED = 3
EXIT_UNREADABLE = 4


@click.group()
def audit() -> None:
    """Check the audit log."""


@audit.command()
@click.argument("file", type=click.Path())
@click.pass_context
def verify(context: click.Context, file: str) -> None:
    """Verify the sealed audit log FILE: whole, truncated or altered.

    Exit status: 0 whole; 1 altered; 2 lines without a chain, which cannot be checked; 3 no closing line: the file is
    still being written or was truncated; 4 unreadable.
    """
    name = escaped(file)
    try:
        with open(file, "rb") as stream:
            status, words = _verdict(stream, name)
    except OSError as error:
        status, words = EXIT_UNREADABLE, f"{name}: cannot be read: {error.strerror}"
    click.echo(words)
    context.exit(status)


def _verdict(stream: BinaryIO, name: str) -> tuple[int, str]:
    try:
        summary = check(stream, name)
    except AuditLogCorrupt as error:
        if error.problem == "altered":
            return EXIT_ALTERED, f"{name}: ALTERED at line {error.line}: {error.detail}."
        words = f"{name}: NOT COMPLETE at line {error.line}: {error.detail}."
        return EXIT_TRUNCATED, f"{words} No line up to the end was altered. {_why_open(stream)}"
    return _whole(summary, name)


def _why_open(stream: BinaryIO) -> str:
    if _is_being_written(stream):
        return "A process is writing it now: check again after it has stopped."
    return "No process is writing it here: its last lines may be missing after a crash or a manipulation."


def _is_being_written(stream: BinaryIO) -> bool:
    # The writer of a sealed audit log holds an exclusive lock on it.
    try:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _whole(summary: Summary, name: str) -> tuple[int, str]:
    if not summary.segments:
        words = f"{_count(summary.lines, 'line')} that cannot be checked ([audit] chain = true)"
        return EXIT_UNCHAINED, f"{name}: NO CHAIN: {words}."
    lines = _count(summary.lines, "line")
    converted = ", line ends converted to CRLF" if summary.is_converted else ""
    found = f"{lines} in {_count(summary.segments, 'run')}{converted}, last hash {summary.head}"
    if summary.unsealed:
        return EXIT_UNCHAINED, (
            f"{name}: NO CHAIN up to line {summary.unsealed}, which cannot be checked; whole after it: {found}."
        )
    before = f" It continues a file whose last line has the hash {summary.previous}." if summary.previous else ""
    return EXIT_WHOLE, f"{name}: WHOLE: {found}.{before}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
