"""`egress reload`: makes the running proxy reload its configuration."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

import click

from egress.audit.selection import escaped
from egress.audit.settings import state_directory
from egress.cli.error import Problem
from egress.errors import ConfigError

_SECONDS = 120.0
_ANSWER_BYTES = 4 * 1024 * 1024


@click.command(short_help="Make the running proxy reload its configuration.")
@click.option("--config", "-c", "configuration", metavar="FILE", help="The configuration file of the proxy.")
@click.option("--state", metavar="DIR", type=click.Path(), help="The state directory of the proxy.")
def reload(configuration: str | None, state: str | None) -> None:
    """Make the running proxy reload its configuration file (by default the proxy with the user's state directory).

    FILE only selects the proxy, by its state directory: the proxy reads the file that it was started with. Prints the
    changes, and each way in which the new configuration protects less.

    Exit status: 0 when the new configuration is active, 1 when the old one stays, 2 for a wrong option, 3 when no proxy
    was found.
    """
    if configuration and state:
        raise click.UsageError("--config and --state both name a proxy; give one of them")
    answer = _ask(state or (_state_of(configuration) if configuration else state_directory()), {"do": "reload"})
    if "error" in answer:
        raise Problem(f"nothing changed: {escaped(str(answer['error']))}")
    _show(answer["result"])


def _state_of(configuration: str) -> str:
    from egress.service.settings.places import state_of
    from egress.service.settings.source import load

    try:
        return state_of(load(configuration).settings)
    except ConfigError as error:
        raise Problem(f"nothing changed: {error}")


def _ask(state: str, question: dict[str, object]) -> dict[str, Any]:
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
            raise Problem(
                f"no proxy listens on {escaped(path)}; if `state` was changed, name the old one with --state", 3
            )
        except OSError as error:
            raise Problem(f"{escaped(path)}: {error.strerror or error}", 3)
        _check_owner(connection, path)
        try:
            connection.sendall(json.dumps(question).encode("ascii") + b"\n")
            while not line.endswith(b"\n") and len(line) < _ANSWER_BYTES and (data := connection.recv(65_536)):
                line += data
            answer = json.loads(line)
        except (OSError, ValueError, RecursionError) as error:
            raise Problem(f"{escaped(path)} gave no answer: {error.__class__.__name__}")
    if not (isinstance(answer, dict) and ("error" in answer or _is_result(answer.get("result")))):
        raise Problem(f"{escaped(path)} gave no answer that could be understood")
    return answer


def _check_owner(connection: socket.socket, path: str) -> None:
    """Refuse a socket that is served by a process of another user (SO_PEERCRED gives the listening process)."""
    from egress.transports.peer_credentials import read_peer_credentials

    try:
        uid = read_peer_credentials(connection).uid
        owner = os.stat(os.path.dirname(path)).st_uid
    except OSError as error:
        raise Problem(f"{escaped(path)}: {error.strerror or error}", 3)
    if uid not in (0, owner, os.geteuid()):
        raise Problem(f"{escaped(path)} is served by user {uid}: neither root, nor the directory's owner, nor you", 3)


def _is_result(result: object) -> bool:
    """Whether a response contains the result of a reload."""
    if not isinstance(result, dict) or type(result.get("generation")) is not int:
        return False
    told = [result.get(key, []) for key in ("changed", "weaker", "warnings")]
    return all(isinstance(said, list) and all(isinstance(each, str) for each in said) for said in told)


def _show(result: dict[str, Any]) -> None:
    generation = result["generation"]
    changed = _words(result, "changed")
    told = "; ".join(changed) or "nothing changed in the file; what it names was read anew"
    click.echo(f"configuration {generation} is in force: {told}")
    for sentence in _words(result, "weaker"):
        click.echo(f"egress: protects less: {sentence}", err=True)
    for sentence in _words(result, "warnings"):
        click.echo(f"egress: {sentence}", err=True)


def _words(result: dict[str, Any], key: str) -> list[str]:
    return [escaped(each) for each in result.get(key, [])]
