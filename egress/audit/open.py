"""Builds an audit log from its settings."""

from __future__ import annotations

import os
import time

from twisted.internet.interfaces import IReactorTime

from egress.audit.audit_log import AuditLog
from egress.audit.encoder import LineEncoder
from egress.audit.journald import JournaldSink
from egress.audit.settings import AuditSettings
from egress.audit.sink_queue import SinkQueue
from egress.audit.sinks import FileSink, Sink, StdoutSink
from egress.errors import ConfigError


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
    queues = [
        SinkQueue(sink, settings.chain, settings.backlog_records, settings.backlog_bytes, time.time) for sink in sinks
    ]
    return AuditLog(
        reactor,
        queues,
        LineEncoder(settings.paths),
        settings.backlog_records,
        is_strict=settings.on_loss == "refuse",
    )


def _open_sink(word: str, settings: AuditSettings, state_directory: str) -> Sink:
    if word == "file":
        path = settings.path_in(state_directory)
        try:
            if os.path.dirname(path) == state_directory.rstrip("/"):
                os.makedirs(state_directory, mode=0o700, exist_ok=True)
            return FileSink(path, is_exclusive=settings.chain)
        except OSError as error:
            raise ConfigError("audit.file", f"{path} cannot be opened: {error.strerror}")
    try:
        return StdoutSink() if word == "stdout" else JournaldSink()
    except OSError as error:
        raise ConfigError("audit.to", f"{word} cannot be used: {error.strerror}")
