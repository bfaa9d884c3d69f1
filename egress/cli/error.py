"""The error of a command: one line on stderr, and an exit status."""

from __future__ import annotations

from typing import IO, Any

import click


class Problem(click.ClickException):
    """Ends a command with an error.

    Args:
        message: one line.
        exit_code: the command's status.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code: int = exit_code  # type: ignore[misc]  # click documents that it may be set on an instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error."""
        click.echo(f"egress: {self.format_message()}", file=file, err=file is None)
