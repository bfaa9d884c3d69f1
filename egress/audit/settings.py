"""The `[audit]` table, and the default state directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import Attribute, field, frozen

from egress.audit.refusal_folding import REFUSAL_BYTES_PER_SECOND

SINKS = ("file", "stdout", "journald")
PATHS = ("none", "first", "full")
ON_LOSS = ("continue", "refuse")
DEFAULT_FILE = "audit.jsonl"

Words: TypeAlias = tuple[Literal["file", "stdout", "journald"], ...]

MIN_BACKLOG_RECORDS = 64
MAX_BACKLOG_RECORDS = 4_194_304


def state_directory(environ: Mapping[str, str] | None = None) -> str:
    """Return the user's state directory, the default directory of the audit log.

    The first of $EGRESS_STATE, $XDG_STATE_HOME/egress (only if absolute, as the XDG Base Directory Specification
    asks) and ~/.local/state/egress.

    Args:
        environ: the environment; None for the environment of this process.
    """
    known = os.environ if environ is None else environ
    if own := known.get("EGRESS_STATE"):
        return os.path.abspath(own)
    shared = known.get("XDG_STATE_HOME", "")
    if os.path.isabs(shared):
        return os.path.join(shared, "egress")
    home = known.get("HOME") or os.path.expanduser("~")
    return os.path.join(home, ".local", "state", "egress")


def _one_of(instance: object, attribute: Attribute[str], value: str) -> None:
    words = {"paths": PATHS, "on_loss": ON_LOSS}[attribute.name]
    if value not in words:
        raise ValueError(f"must be one of {', '.join(words)}")


def _check_sinks(instance: object, attribute: Attribute[Words], value: Words) -> None:
    if not value:
        raise ValueError(f"must name at least one of {', '.join(SINKS)}: a proxy without an audit log proves nothing")
    if any(word not in SINKS for word in value):
        raise ValueError(f"must hold only {', '.join(SINKS)}")
    if len(set(value)) != len(value):
        raise ValueError("names a sink twice")


def _check_file(instance: object, attribute: Attribute[str], value: str) -> None:
    if not value or "\0" in value:
        raise ValueError("must be a file name")
    if value.endswith("/"):
        raise ValueError("must be a file, not a directory")


def _check_backlog(instance: object, attribute: Attribute[int], value: int) -> None:
    if not MIN_BACKLOG_RECORDS <= value <= MAX_BACKLOG_RECORDS:
        raise ValueError(f"must be between {MIN_BACKLOG_RECORDS} and {MAX_BACKLOG_RECORDS}")


def _check_backlog_bytes(instance: object, attribute: Attribute[int], value: int) -> None:
    if value < 64 * 1024:
        raise ValueError("must be at least 65536")


def _check_refusal_bytes(instance: object, attribute: Attribute[int], value: int) -> None:
    if not 256 <= value <= 1 << 40:
        raise ValueError("must be between 256 and 1099511627776")


@frozen
class AuditSettings:
    """The `[audit]` table.

    Attributes:
        to: sinks: "file", "stdout", "journald"; one or more.
        file: the audit log's file; relative to the state directory.
        paths: the part of a path that is logged: "none", only the "first" segment, or "full".
        on_loss: the effect on new requests while lines cannot be written, for example on a full disk: "continue" serves
            them, so that they may leave no line; "refuse" refuses them.
        chain: whether each line is sealed to the line before (`egress audit verify`).
        backlog_records: the largest number of lines that wait for each sink.
        backlog_bytes: the largest number of octets of lines that wait for each sink.
        refusal_bytes_per_second: the largest number of octets per second that lines about requests of one client that
            were not admitted add to each sink. Requests beyond it are counted.
    """

    to: Words = field(default=("file",), validator=_check_sinks)
    file: str = field(default=DEFAULT_FILE, validator=_check_file)
    paths: Literal["none", "first", "full"] = field(default="first", validator=_one_of)
    on_loss: Literal["continue", "refuse"] = field(default="continue", validator=_one_of)
    chain: bool = False
    backlog_records: int = field(default=65_536, validator=_check_backlog)
    backlog_bytes: int = field(default=67_108_864, validator=_check_backlog_bytes)
    refusal_bytes_per_second: int = field(default=REFUSAL_BYTES_PER_SECOND, validator=_check_refusal_bytes)

    def path_in(self, directory: str) -> str:
        """Return the path of the audit log file, for this state directory."""
        return os.path.join(directory, self.file)
