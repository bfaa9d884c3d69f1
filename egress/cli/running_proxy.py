"""Finds the running proxy by its state directory, and asks it on its control socket."""

from __future__ import annotations

import json
import os
import socket

from egress.audit.selection import escaped
from egress.audit.settings import state_directory
from egress.cli.error import Problem

EXIT_UNREACHABLE = 4

_SECONDS = 120.0
_ANSWER_BYTES = 4 * 1024 * 1024


def find_state(configuration: str | None, state: str | None) -> str:
    """Return the state directory that the options `--config` and `--state` name, by default the user's.

    Raises:
        ConfigError: the configuration cannot be read.
    """
    if state or not configuration:
        return state or state_directory()
    from egress.service.settings.places import state_of
    from egress.service.settings.source import load

    return state_of(load(configuration).settings)


def ask(state: str, question: dict[str, object]) -> dict[str, object]:
    """Ask the proxy with a state directory.

    Args:
        state: the state directory.
        question: see `egress.service.process.control_protocol`.

    Returns:
        The answer: it has an `error` or a `result`.

    Raises:
        Problem: with status 4 if there is no proxy or its socket belongs to another user; with status 1 if its answer
            cannot be understood.
    """
    from egress.service.listen.unix_path import short_name
    from egress.service.process.control_socket import control_path

    path = control_path(os.path.abspath(state))
    line = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_SECONDS)
        try:
            with short_name(path) as name_in_reach:
                connection.connect(name_in_reach)
        except (FileNotFoundError, ConnectionRefusedError):
            problem = f"no proxy listens on {escaped(path)}; if `state` was changed, name the old one with --state"
            raise Problem(problem, EXIT_UNREACHABLE)
        except OSError as error:
            raise Problem(f"{escaped(path)}: {error.strerror or error}", EXIT_UNREACHABLE)
        _check_owner(connection, path)
        try:
            connection.sendall(json.dumps(question).encode("ascii") + b"\n")
            while not line.endswith(b"\n") and len(line) < _ANSWER_BYTES and (data := connection.recv(65_536)):
                line += data
            answer = json.loads(line)
        except (OSError, ValueError, RecursionError) as error:
            raise Problem(f"{escaped(path)} gave no answer: {error.__class__.__name__}")
    if not (isinstance(answer, dict) and ("error" in answer or isinstance(answer.get("result"), dict))):
        raise misunderstood(state)
    return answer


def misunderstood(state: str) -> Problem:
    """Return the error for an answer that is none."""
    from egress.service.process.control_socket import control_path

    return Problem(f"{escaped(control_path(os.path.abspath(state)))} gave no answer that could be understood")


def _check_owner(connection: socket.socket, path: str) -> None:
    """Refuse a socket that is served by a process of another user (SO_PEERCRED gives the listening process)."""
    from egress.transports.peer_credentials import read_peer_credentials

    try:
        uid = read_peer_credentials(connection).uid
        owner = os.stat(os.path.dirname(path)).st_uid
    except OSError as error:
        raise Problem(f"{escaped(path)}: {error.strerror or error}", EXIT_UNREACHABLE)
    if uid not in (0, owner, os.geteuid()):
        problem = f"{escaped(path)} is served by user {uid}: neither root, nor the directory's owner, nor you"
        raise Problem(problem, EXIT_UNREACHABLE)
