"""`egress reload`: makes the running proxy reload its configuration."""

from __future__ import annotations

from typing import Any, TypeGuard

import click

from egress.audit.selection import escaped
from egress.cli.error import Problem
from egress.cli.running_proxy import ask, find_state, misunderstood
from egress.errors import ConfigError


@click.command(short_help="Make the running proxy reload its configuration.")
@click.option("--config", "-c", "configuration", metavar="FILE", help="The configuration file of the proxy.")
@click.option("--state", metavar="DIR", type=click.Path(), help="The state directory of the proxy.")
def reload(configuration: str | None, state: str | None) -> None:
    """Make the running proxy reload its configuration file (by default the proxy with the user's state directory).

    FILE only selects the proxy, by its state directory: the proxy reads the file that it was started with. Prints the
    changes, and each way in which the new configuration protects less.

    Exit status: 0 when the new configuration is active, 1 when the old one stays, 2 for a wrong option, 4 when no proxy
    was found.
    """
    if configuration and state:
        raise click.UsageError("--config and --state both name a proxy; give one of them")
    try:
        directory = find_state(configuration, state)
    except ConfigError as error:
        raise Problem(f"nothing changed: {error}")
    answer = ask(directory, {"do": "reload"})
    if "error" in answer:
        raise Problem(f"nothing changed: {escaped(str(answer['error']))}")
    result = answer["result"]
    if not _is_result(result):
        raise misunderstood(directory)
    _show(result)


def _is_result(result: object) -> TypeGuard[dict[str, Any]]:
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
