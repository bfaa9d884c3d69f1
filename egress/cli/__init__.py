"""The `egress` command."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

import click

# Imported on use: `egress --version` needs no reactor.
_COMMANDS = {
    "audit": "egress.cli.audit:audit",
    "check": "egress.cli.check:check",
    "explain": "egress.cli.explain:explain",
    "plugins": "egress.cli.plugins:plugins",
    "reload": "egress.cli.reload:reload",
    "run": "egress.cli.run:command",
    "serve": "egress.cli.serve:serve",
    "tail": "egress.cli.tail:tail",
    "token": "egress.cli.token:token",
}


class Commands(click.Group):
    """A click group that imports each command on its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("egress"), prog_name="egress")
def main() -> None:
    """A forward proxy that controls the outbound traffic of AI agents.

    `egress serve --allow HOST` starts the proxy; `egress tail` shows the requests that are allowed and refused.
    """
