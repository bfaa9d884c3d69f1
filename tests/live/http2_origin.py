"""An HTTP/2 origin on this machine: the response to each request describes the request as a JSON object."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import threading
from typing import Any

from attrs import define, field
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, StreamEnded

from tests.live.origins import HERE, STALL_SECONDS, Place


@define(eq=False)
class _Stream:
    """One request."""

    fields: dict[str, str]
    content: Any = field(factory=hashlib.sha256)
    size: int = 0


class Http2Origin:
    """A running server.

    Attributes:
        port: where it listens.
        url: by name, without a path.
    """

    def __init__(self, context: ssl.SSLContext, place: Place = HERE) -> None:
        self._context = context
        self._listener = socket.create_server((place.address, 0), family=place.family)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"https://{place.host}:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        # A thread that waits in accept() is only woken by this.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(STALL_SECONDS)
        # Clients that give up are what some tests are about.
        with contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as secure:
            connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
            connection.initiate_connection()
            secure.sendall(connection.data_to_send())
            streams: dict[int, _Stream] = {}
            while data := secure.recv(1 << 16):
                for event in connection.receive_data(data):
                    if isinstance(event, ConnectionTerminated):
                        return
                    self._told(connection, streams, event)
                secure.sendall(connection.data_to_send())

    def _told(self, connection: H2Connection, streams: dict[int, _Stream], event: object) -> None:
        if isinstance(event, RequestReceived):
            streams[event.stream_id] = _Stream({str(name): str(value) for name, value in event.headers})
        elif isinstance(event, DataReceived):
            stream = streams[event.stream_id]
            stream.content.update(event.data)
            stream.size += len(event.data)
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            stream = streams.pop(event.stream_id)
            came = {"fields": stream.fields, "sha256": stream.content.hexdigest(), "size": stream.size}
            content = json.dumps(came).encode("utf-8")
            connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/json")])
            connection.send_data(event.stream_id, content, end_stream=True)
