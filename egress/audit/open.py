"""Builds an audit log from its settings."""

from __future__ import annotations

import os
import time

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from egress.audit.audit_log import AuditLog
from egress.audit.chain_head import head_path, is_within, read_head
from egress.audit.encoder import LineEncoder
from egress.audit.head_recorder import HeadRecorder
from egress.audit.journald import JournaldSink
from egress.audit.settings import AuditSettings
from egress.audit.sink_queue import SinkQueue
from egress.audit.sinks import FileSink, Sink, StdoutSink
from egress.errors import ConfigError

_log = Logger()


def open_audit_log(settings: AuditSettings, state_directory: str, reactor: IReactorTime) -> AuditLog:
    """Open every sink. Nothing is written and no thread runs before `AuditLog.start`.

    Args:
        settings: the `[audit]` table.
        state_directory: the state directory, which is created with mode 0700 if it is missing and directly contains the
            file. No other directory is created.
        reactor: runs the audit log.

    Raises:
        ConfigError: a sink cannot be opened; `where` is "audit.file" or "audit.to".
    """
    sinks: list[Sink] = []
    try:
        for word in settings.to:
            sinks.append(_open_sink(word, settings, state_directory))
    except ConfigError:
        for sink in sinks:
            sink.close()
        raise
    places = {sink.name: settings.path_in(state_directory) if sink.name == "file" else sink.name for sink in sinks}
    queues = [
        SinkQueue(
            sink,
            settings.chain,
            settings.backlog_records,
            settings.backlog_bytes,
            time.time,
            HeadRecorder(places[sink.name], head_path(state_directory, sink.name)) if settings.chain else None,
        )
        for sink in sinks
    ]
    return AuditLog(
        reactor,
        queues,
        LineEncoder(settings.paths),
        settings.backlog_records,
        is_strict=settings.on_loss == "refuse",
        missing_head=_find_missing_head(places["file"], state_directory) if settings.chain and "file" in places else "",
        refusal_bytes_per_second=settings.refusal_bytes_per_second,
    )


def _find_missing_head(path: str, state_directory: str) -> str:
    """Return the hash of the head that was recorded for a file, if the file does not hold that line."""
    try:
        head = read_head(head_path(state_directory, "file"))
        if head is None or head.place != path:
            return ""
        with open(path, "rb") as stream:
            return "" if is_within(head, stream) else head.hash
    except (OSError, ValueError) as error:
        _log.error("the recorded head of the audit log cannot be read: {problem}", problem=str(error))
        return ""


def _open_sink(word: str, settings: AuditSettings, state_directory: str) -> Sink:
    if word == "file":
        path = settings.path_in(state_directory)
        try:
            if os.path.dirname(path) == state_directory.rstrip("/"):
                os.makedirs(state_directory, mode=0o700, exist_ok=True)
            return FileSink(path)
        except OSError as error:
            raise ConfigError("audit.file", f"{path} cannot be opened: {error.strerror}")
    try:
        return StdoutSink() if word == "stdout" else JournaldSink()
    except OSError as error:
        raise ConfigError("audit.to", f"{word} cannot be used: {error.strerror}")
