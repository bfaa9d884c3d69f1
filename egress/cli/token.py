"""`egress token`: makes the tokens of clients."""

from __future__ import annotations

import sys

import click

from egress.cli.error import Problem
from egress.errors import ConfigError

_USAGE = 2


@click.group()
def token() -> None:
    """Make tokens, and lines for the tokens file that a listener names."""


@token.command()
@click.argument("name")
@click.option("--file", "-f", "path", metavar="FILE", help="Add the line to this tokens file; it is made if missing.")
def new(name: str, path: str | None) -> None:
    """Make a token for NAME. The token is shown once: the file contains only its SHA-256.

    A client sends the token as a password, http://NAME:TOKEN@PROXY, or as a Bearer token. With --file only the token is
    printed; without --file the line for the file is printed too.
    """
    from egress.identity.generated_tokens import digest_of, format_digest, make_token

    _check_name(name)
    made = make_token()
    digest = digest_of(made.encode())
    assert digest is not None, "a generated token has the form of one"
    line = f"{name}:{format_digest(digest)}"
    if path is None:
        click.echo(f"token, shown this once:    {made}")
        click.echo(f"line for the tokens file:  {line}")
        return
    # The line is added first, so that every token that is shown is valid.
    _add(path, name, line)
    click.echo(made)


@token.command("hash")
@click.argument("name")
@click.option("--file", "-f", "path", metavar="FILE", help="Add the line to this tokens file; it is made if missing.")
def hash_secret(name: str, path: str | None) -> None:
    """Hash a chosen secret for NAME. The secret is read from the standard input, or prompted for at a terminal.

    Prints the line for the tokens file, or adds the line with --file. The hash is scrypt: checking it costs the proxy
    some tenths of a second and 32 MiB. Prefer `egress token new` unless a person must remember the secret.
    """
    from egress.identity.chosen_secrets import ScryptHash, check_secret

    _check_name(name)
    try:
        secret = check_secret(_read_secret())
    except ValueError as problem:
        raise Problem(f"the secret cannot be used: {problem}", _USAGE)
    line = f"{name}:{ScryptHash.make(secret).format()}"
    if path is None:
        click.echo(line)
    else:
        _add(path, name, line)


def _check_name(name: str) -> None:
    from egress.identity.tokens import NAME_WORDS, is_name

    if not is_name(name):
        raise Problem(f"NAME must be {NAME_WORDS}", _USAGE)


def _read_secret() -> str:
    if sys.stdin.isatty():
        answer: str = click.prompt("Secret", hide_input=True, confirmation_prompt="Once more", err=True)
        return answer
    # One line end is not part of the secret. Further ones make the secret invalid.
    content = sys.stdin.buffer.read(4096)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


def _add(path: str, name: str, line: str) -> None:
    from egress.identity.tokens_file_edit import add_line

    try:
        count = add_line(path, name, line)
    except ConfigError as error:
        raise Problem(str(error))
    words = f"egress: added {name} to {path!r}"
    if count > 1:
        words += f", which has {count} lines of that name now: take the old one out when nobody uses it any more"
    click.echo(words, err=True)
