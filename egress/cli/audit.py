"""`egress audit`: checks of the audit log."""

from __future__ import annotations

import fcntl
import json
import os
from typing import BinaryIO

import click

from egress.audit.chain_head import HEAD_LIMIT_BYTES, ChainHead, head_path, parse_hash, parse_head, read_head
from egress.audit.selection import escaped
from egress.audit.settings import state_directory
from egress.audit.verification import Summary
from egress.audit.verification import verify as check
from egress.cli.error import Problem
from egress.cli.running_proxy import ask, find_state, misunderstood
from egress.errors import AuditLogCorrupt, ConfigError

EXIT_WHOLE = 0
EXIT_ALTERED = 1
EXIT_USAGE = 2
EXIT_UNCHAINED = 3
EXIT_CUT_OFF = 3
EXIT_TRUNCATED = 3
EXIT_UNREADABLE = 4

# A rotation between the two readings replaces both the file and its head.
_ATTEMPTS = 3


@click.group()
def audit() -> None:
    """Check the audit log."""


@audit.command()
@click.argument("file", type=click.Path())
@click.option(
    "--head", "given", metavar="HASH|FILE", help="The line that FILE must hold: its hash, or a recorded head."
)
@click.option("--state", metavar="DIR", type=click.Path(), help="The state directory of the proxy that wrote FILE.")
@click.pass_context
def verify(context: click.Context, file: str, given: str | None, state: str | None) -> None:
    """Verify the sealed audit log FILE: whole, cut off, truncated or altered.

    FILE must hold the line that --head names: the hash of a line, or a file in which a head was recorded. Without
    --head it is the head that the proxy recorded for FILE, where this host has it: in --state, else in the directory of
    FILE or in the user's state directory.

    Exit status: 0 whole; 1 altered; 2 wrong usage; 3 cannot tell: lines without a chain, lines cut off, or no end in
    order; 4 unreadable.
    """
    if given and state:
        raise click.UsageError("--head and --state both name the last line; give one of them")
    status, words = EXIT_UNREADABLE, ""
    head = _given_head(given) if given else None
    for _ in range(_ATTEMPTS):
        recorded = None if given else _recorded_head(file, state)
        status, words = _verify(file, head or recorded)
        if status != EXIT_CUT_OFF or given or _recorded_head(file, state) == recorded:
            break
    click.echo(escaped(words))
    context.exit(status)


@audit.command()
@click.option("--config", "-c", "configuration", metavar="FILE", help="The configuration file of the proxy.")
@click.option("--state", metavar="DIR", type=click.Path(), help="The state directory of the proxy.")
def head(configuration: str | None, state: str | None) -> None:
    """Print which line the running proxy wrote last to each sink: its hash, the sink, and its place in the chain.

    Exit status: 0 if there is one, 1 if no line is sealed, 2 for a wrong option or configuration, 4 when no proxy was
    found.
    """
    if configuration and state:
        raise click.UsageError("--config and --state both name a proxy; give one of them")
    try:
        directory = find_state(configuration, state)
    except ConfigError as error:
        raise Problem(str(error), EXIT_USAGE)
    answer = ask(directory, {"do": "status"})
    if "error" in answer:
        raise Problem(escaped(str(answer["error"])))
    try:
        heads = [_head_of(facts) for facts in answer["result"]["audit"]["heads"]]  # type: ignore[index]  # JSON
    except (LookupError, TypeError, ValueError):
        raise misunderstood(directory)
    if not heads:
        raise Problem("the lines of the audit log are not sealed ([audit] chain = true), or none is written yet")
    for each in heads:
        click.echo(f"{each.hash}  {escaped(each.place)}  line {each.seq} of the run {each.writer}")


def _head_of(facts: dict[str, object]) -> ChainHead:
    return parse_head(json.dumps(facts).encode("ascii"))


def _given_head(given: str) -> ChainHead:
    try:
        return parse_hash(given)
    except ValueError:
        pass
    try:
        with open(given, "rb") as stream:
            return parse_head(stream.read(HEAD_LIMIT_BYTES))
    except (OSError, ValueError):
        raise click.BadParameter("must be a hash of 64 hex digits, or a file with a recorded head", param_hint="--head")


def _recorded_head(file: str, state: str | None) -> ChainHead | None:
    """Find the head that the proxy recorded for a file.

    Raises:
        Problem: it cannot be read.
    """
    path = os.path.realpath(file)
    for directory in [state] if state else [os.path.dirname(path), state_directory()]:
        name = head_path(directory, "file")
        try:
            found = read_head(name)
        except (OSError, ValueError) as error:
            problem = error.strerror if isinstance(error, OSError) else error
            raise Problem(
                f"the head in {escaped(name)} cannot be read ({problem}): name another with --head", EXIT_CUT_OFF
            )
        if found is not None and os.path.realpath(found.place) == path:
            return found
    return None


def _verify(file: str, expected: ChainHead | None) -> tuple[int, str]:
    try:
        with open(file, "rb") as stream:
            return _verdict(stream, file, expected)
    except OSError as error:
        return EXIT_UNREADABLE, f"{file}: cannot be read: {error.strerror}"


def _verdict(stream: BinaryIO, name: str, expected: ChainHead | None) -> tuple[int, str]:
    is_growing = _is_being_written(stream)
    try:
        summary = check(stream, name, expected, is_growing)
    except AuditLogCorrupt as error:
        if error.problem == "altered":
            return EXIT_ALTERED, f"{name}: ALTERED at line {error.line}: {error.detail}."
        if error.problem == "cut off":
            return EXIT_CUT_OFF, f"{name}: CUT OFF at line {error.line}: {error.detail}. {_CUT_OFF}"
        words = f"{name}: NOT COMPLETE at line {error.line}: {error.detail}."
        return EXIT_TRUNCATED, f"{words} No line up to the end was altered. {_why_open(is_growing)}{_unknown(expected)}"
    return _whole(summary, name, expected)


_CUT_OFF = "Lines up to that one are missing, or the file is not the one that the head was recorded for."


def _why_open(is_growing: bool) -> str:
    if is_growing:
        return "A process is writing it now: check again after it has stopped, or name its head."
    return "No process is writing it here: its last lines may be missing after a crash or a manipulation."


def _is_being_written(stream: BinaryIO) -> bool:
    # The writer of an audit log holds an exclusive lock on it. Ours is short, because the writer takes its own once.
    try:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(stream, fcntl.LOCK_UN)
    except OSError:
        return True
    return False


def _whole(summary: Summary, name: str, expected: ChainHead | None) -> tuple[int, str]:
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
    words = f"{name}: WHOLE: {found}.{_vouched(summary)}{_unknown(expected)}"
    before = f" It continues a file whose last line has the hash {summary.previous}." if summary.previous else ""
    return EXIT_WHOLE, words + before


def _vouched(summary: Summary) -> str:
    if not summary.vouched:
        return ""
    if summary.vouched == summary.lines:
        return " Its last line is the recorded head."
    growing = "" if summary.is_ended else ", which is being written"
    return f" The recorded head is line {summary.vouched}: nothing vouches for the end of what follows it{growing}."


def _unknown(expected: ChainHead | None) -> str:
    return "" if expected is not None else " No head is known: whole runs may be missing at its end."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
