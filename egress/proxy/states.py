"""State tables: which event leads from which state to which.

A table maps each state to its events, and each event to the next state. States and events are plain strings, so that a
table reads and draws as it is written. An event that has no entry for the current state is a programming error.
`docs/explanation/states.md` has the pictures, and the sentence below each state.
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
"""The origin connection is open. The active snapshot judges the request again before a byte is sent."""
STREAMING = "streaming"
"""Bytes move."""
OVER = "over"
"""The last audit event is recorded."""

TRANSACTION: Table = {
    ADMITTING: {"readmit": ADMITTING, "dial": DIALLING, "start": STREAMING, "end": OVER},
    DIALLING: {"confirm": CONFIRMING, "start": STREAMING, "end": OVER},
    CONFIRMING: {"start": STREAMING, "end": OVER},
    STREAMING: {"readmit": ADMITTING, "dial": DIALLING, "end": OVER},
    OVER: {},
}
"""The states of a transaction. An exchange that lost a pooled connection returns from streaming to dialling."""

IDLE = "idle"
"""No byte of the next request head has come."""
READING = "reading"
"""A request head has begun."""
DISPATCHING = "dispatching"
"""A request is being started. It may be complete before the start returns."""
SERVING = "serving"
"""A request is running. An exchange, a tunnel setup or a tunnel receives the bytes."""
YIELDING = "yielding"
"""Further requests have come, and other connections are served first."""
FLUSHING = "flushing"
"""The client has not read the last response. The next request is not read before."""
LINGERING = "lingering"
"""The proxy server has sent its FIN. What comes is dropped, so that no reset destroys the response."""
CLOSING = "closing"
"""The transport closes after what was written is sent."""
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
"""The states of a client connection that speaks HTTP/1.1.

A connection is not lost while it is dispatching: transports report a loss in a turn of the reactor, never from a write.
"""

CONNECTING = "connecting"
"""No origin connection is used. The transaction admits or dials."""
SENDING = "sending"
"""The head of the request is sent, and its body is being sent."""
AWAITING = "awaiting"
"""The request is sent. The head of the response has not come."""
RESPONDING = "responding"
"""The response has begun, and the body of the request is still being sent."""
RECEIVING = "receiving"
"""The request is sent, and the response has begun."""
FINISHED = "finished"
"""The exchange is over, or its connections belong to a tunnel."""

EXCHANGE: Table = {
    CONNECTING: {"send": SENDING, "send_whole": AWAITING, "finish": FINISHED},
    SENDING: {"sent": AWAITING, "respond": RESPONDING, "finish": FINISHED},
    AWAITING: {"reconnect": CONNECTING, "respond": RECEIVING, "finish": FINISHED},
    RESPONDING: {"sent": RECEIVING, "finish": FINISHED},
    RECEIVING: {"finish": FINISHED},
    FINISHED: {},
}
"""The states of an exchange: one HTTP request and its response."""

UNREAD = "unread"
"""The client has sent nothing that tells whether it speaks TLS."""
READING_HELLO = "reading_hello"
"""A ClientHello has begun."""
HELLO_SENT = "hello_sent"
"""The ClientHello was forwarded, and the origin's answer to it is not known."""
RETRYING = "retrying"
"""The origin has asked for a second ClientHello, or may have."""
JOINED = "joined"
"""The tunnel relays both directions."""

TUNNEL_INSPECTION: Table = {
    UNREAD: {"hello_begun": READING_HELLO, "join": JOINED},
    READING_HELLO: {"hello_read": HELLO_SENT, "join": JOINED},
    HELLO_SENT: {"retry": RETRYING, "join": JOINED},
    RETRYING: {"join": JOINED},
    JOINED: {},
}
"""The states of the inspection of an open tunnel: what is known of its TLS handshake."""

OPEN = "open"
"""Both directions move bytes."""
CLIENT_ENDED = "client_ended"
"""The client's FIN was passed on; bytes of the origin still move."""
ORIGIN_ENDED = "origin_ended"
"""The origin's FIN was passed on; bytes of the client still move."""
ENDED = "ended"
"""Both directions are over, or the tunnel was reset."""

TUNNEL: Table = {
    OPEN: {"client_fin": CLIENT_ENDED, "origin_fin": ORIGIN_ENDED, "end": ENDED},
    CLIENT_ENDED: {"origin_fin": ENDED, "end": ENDED},
    ORIGIN_ENDED: {"client_fin": ENDED, "end": ENDED},
    ENDED: {},
}
"""The states of an open tunnel."""
