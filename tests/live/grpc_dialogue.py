"""A gRPC server on this machine, and a client that connects through a proxy.

    python -m tests.live.grpc_dialogue CHAIN AUTHORITY HOST

It runs in a process of its own, because gRPC reads `https_proxy` and keeps threads. HOST is what the client asks the
proxy for. The server's port is the first line that is printed, what came of the calls the second, as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

PATIENCE_SECONDS = 20.0
COUNT = 3


def echo(request: bytes, _context: object) -> bytes:
    """Answer once."""
    return request[::-1]


class Counting:
    """A stream whose next message waits until the one before was heard of."""

    def __init__(self) -> None:
        self.heard = threading.Semaphore(1)

    def count(self, request: bytes, _context: object) -> Iterator[bytes]:
        """Answer several times."""
        for number in range(COUNT):
            if not self.heard.acquire(timeout=PATIENCE_SECONDS):
                return
            yield b"%b %d" % (request, number)


def main(chain: str, authority: str, host: str) -> None:
    """Call, and print what came of it."""
    counting = Counting()
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Count": grpc.unary_stream_rpc_method_handler(counting.count),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Dialogue", handlers),))
    pem = Path(chain).read_bytes()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(pem, pem)]))
    server.start()
    print(port, flush=True)
    came: dict[str, Any] = {}
    credentials = grpc.ssl_channel_credentials(Path(authority).read_bytes())
    with grpc.secure_channel(f"{host}:{port}", credentials) as channel:
        try:
            one = channel.unary_unary("/tests.Dialogue/Echo")
            came["echo"] = one(b"abc", timeout=PATIENCE_SECONDS).decode()
            many = channel.unary_stream("/tests.Dialogue/Count")
            came["count"] = []
            for message in many(b"n", timeout=PATIENCE_SECONDS):
                came["count"].append(message.decode())
                counting.heard.release()
        except grpc.RpcError as error:
            came["error"] = error.code().name
            came["details"] = error.details()
    server.stop(None).wait()
    print(json.dumps(came))


if __name__ == "__main__":
    main(*sys.argv[1:])
