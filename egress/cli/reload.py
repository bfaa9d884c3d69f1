"""`egress reload`: lets the running proxy read its configuration anew."""

from __future__ import annotations

import json
import os
import socket

import click

from egress.audit.select import escaped
from egress.audit.settings import state_directory
from egress.cli.problem import Problem
from egress.errors import ConfigError

_SECONDS = 120.0
_ANSWER_BYTES = 4 * 1024 * 1024


@click.command(short_help="Let the running proxy read its configuration anew.")
@click.option("--config", "-c", "configuration", metavar="FILE", help="The file of the proxy that is meant.")
@click.option("--state", metavar="DIR", type=click.Path(), help="The state directory of the proxy that is meant.")
def reload(configuration: str | None, state: str | None) -> None:
    """Let the running proxy read its file anew (by default the proxy with the user's state directory).

    FILE only says which proxy is meant: it reads the file that it was started with. Prints what changed, and each way
    in which the new configuration protects less.

    Exit status: 0 when the new configuration is in force, 1 when the old one stays and why, 2 for a wrong option, 3
    when no proxy is there.
    """
    if configuration and state:
        raise click.UsageError("--config and --state both name a proxy; give one of them")
    answer = _ask(state or (_state_of(configuration) if configuration else state_directory()), {"do": "reload"})
    if "error" in answer:
        raise Problem(f"nothing changed: {escaped(str(answer['error']))}")
    result = answer.get("result")
    _show(result if isinstance(result, dict) else {})


def _state_of(configuration: str) -> str:
    from egress.service.settings import load
    from egress.service.summary import state_of

    try:
        return state_of(load(configuration).settings)
    except ConfigError as error:
        raise Problem(f"nothing changed: {error}")


def _ask(state: str, question: dict[str, object]) -> dict[str, object]:
    from egress.service.control import control_path

    path = control_path(os.path.abspath(state))
    line = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_SECONDS)
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            raise Problem(f"no proxy listens on {escaped(path)}", 3)
        except OSError as error:
            raise Problem(f"{escaped(path)}: {error.strerror or error}", 3)
        try:
            connection.sendall(json.dumps(question).encode("ascii") + b"\n")
            while not line.endswith(b"\n") and len(line) < _ANSWER_BYTES and (data := connection.recv(65_536)):
                line += data
            answer = json.loads(line)
        except (OSError, ValueError) as error:
            raise Problem(f"{escaped(path)} gave no answer: {error.__class__.__name__}")
    if not isinstance(answer, dict):
        raise Problem(f"{escaped(path)} gave no answer that could be understood")
    return answer


def _show(result: dict[str, object]) -> None:
    generation = result.get("generation")
    changed = _words(result, "changed")
    click.echo(f"configuration {generation} is in force: {'; '.join(changed) or 'nothing changed in it'}")
    for sentence in _words(result, "weaker"):
        click.echo(f"egress: protects less: {sentence}", err=True)
    for sentence in _words(result, "warnings"):
        click.echo(f"egress: {sentence}", err=True)


def _words(result: dict[str, object], key: str) -> list[str]:
    said = result.get(key)
    return [escaped(str(each)) for each in said] if isinstance(said, list) else []
