"""State tables: which event leads from which state to which.

A table is a mapping of states to mappings of events to states. Words are plain strings, so that a table reads and draws
as it is written. `docs/explanation/states.md` has the pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Table: TypeAlias = Mapping[str, Mapping[str, str]]

ADMITTING = "admitting"
"""The gate judges the request."""
DIALLING = "dialling"
"""The route is dialled."""
CONFIRMING = "confirming"
"""The connection is open, and a newer configuration snapshot judges the request before an octet moves."""
STREAMING = "streaming"
"""Octets move."""
OVER = "over"
"""The last audit event has been recorded."""

TRANSACTION: Table = {
    ADMITTING: {"readmit": ADMITTING, "dial": DIALLING, "start": STREAMING, "end": OVER},
    DIALLING: {"confirm": CONFIRMING, "start": STREAMING, "end": OVER},
    CONFIRMING: {"start": STREAMING, "end": OVER},
    STREAMING: {"readmit": ADMITTING, "dial": DIALLING, "end": OVER},
    OVER: {},
}
"""The states of a transaction. An exchange that lost a pooled connection goes from streaming back to dialling."""

IDLE = "idle"
"""No octet of the next request head has come. The keep-alive deadline runs."""
READING = "reading"
"""A request head has begun. Its deadline runs."""
DISPATCHING = "dispatching"
"""A request is being started, and may be complete before that returns."""
SERVING = "serving"
"""A request is running. Its receiver has the deadline."""
YIELDING = "yielding"
"""More requests are here; other connections are served first."""
FLUSHING = "flushing"
"""The client has not read the last response. No request is read until it has."""
LINGERING = "lingering"
"""Our FIN was sent. What comes is discarded, so that no reset destroys the response on its way."""
CLOSING = "closing"
"""The transport closes after what was written."""
CLOSED = "closed"
"""The connection is gone."""

CLIENT_CONNECTION: Table = {
    IDLE: {
        "head_begun": READING,
        "head_complete": DISPATCHING,
        "yield": YIELDING,
        "linger": LINGERING,
        "close": CLOSING,
        "lost": CLOSED,
    },
    READING: {"head_complete": DISPATCHING, "linger": LINGERING, "close": CLOSING, "lost": CLOSED},
    DISPATCHING: {
        "wait": SERVING,
        "finish": IDLE,
        "finish_unread": FLUSHING,
        "linger": LINGERING,
        "close": CLOSING,
    },
    SERVING: {
        "finish": IDLE,
        "finish_unread": FLUSHING,
        "linger": LINGERING,
        "close": CLOSING,
        "lost": CLOSED,
    },
    YIELDING: {"resume": IDLE, "close": CLOSING, "lost": CLOSED},
    FLUSHING: {"flushed": IDLE, "linger": LINGERING, "close": CLOSING, "lost": CLOSED},
    LINGERING: {"close": CLOSING, "lost": CLOSED},
    CLOSING: {"close": CLOSING, "lost": CLOSED},
    CLOSED: {},
}
"""The states of a client connection that speaks HTTP/1.1."""

OPEN = "open"
"""Both directions move octets."""
CLIENT_ENDED = "client_ended"
"""The client's FIN was passed on."""
ORIGIN_ENDED = "origin_ended"
"""The origin's FIN was passed on."""
ENDED = "ended"
"""Both directions are over, or the tunnel was reset."""

TUNNEL: Table = {
    OPEN: {"client_fin": CLIENT_ENDED, "origin_fin": ORIGIN_ENDED, "end": ENDED},
    CLIENT_ENDED: {"origin_fin": ENDED, "end": ENDED},
    ORIGIN_ENDED: {"client_fin": ENDED, "end": ENDED},
    ENDED: {},
}
"""The states of an open tunnel."""
