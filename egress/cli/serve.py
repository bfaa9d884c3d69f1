"""`egress serve`: runs the proxy without the `twistd` command."""

from __future__ import annotations

import os
import sys

import click


@click.command(
    short_help="Run the proxy.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run the proxy in the foreground, as `twistd --nodaemon --pidfile= egress-proxy` does.

    `egress serve --help` lists the options.
    """
    from egress.service.process.undumpable import make_undumpable

    # Before secrets are read, because other processes of this user must not be able to read them.
    make_undumpable()
    from egress.service.listen.socket_activation import keep_activation_variables

    keep_activation_variables(os.environ)
    from twisted.scripts.twistd import run

    # twistd reads its options from sys.argv.
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "egress-proxy", *arguments]
    run()
