"""Reads the settings from a file and the command line, with the place of each setting for errors."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from egress.config import read, structure
from egress.errors import ConfigError
from egress.service.settings.allow_option import allow_table
from egress.service.settings.listener import ListenerSettings
from egress.service.settings.settings import Settings


@frozen
class Source:
    """Settings, with their places for errors.

    Attributes:
        settings: the settings.
        file: the file's name; "" without a file.
        allowed: the value of each `--allow`, in the order of the rules made of them.
        listeners_where: the key path of the listeners, "listener", or the option that replaces the table.
    """

    settings: Settings
    file: str = ""
    allowed: tuple[str, ...] = ()
    listeners_where: str = "listener"

    def path(self, written: str) -> str:
        """Make a path in the file absolute. A relative path is relative to the directory of the file."""
        return path_beside(self.file, written)

    def listener_where(self, index: int) -> str:
        """Return the place of a listener's endpoint."""
        if self.listeners_where == "listener":
            return f"listener[{index}].endpoint" if self.file else "the default listener"
        return self.listeners_where

    def place(self, error: ConfigError) -> ConfigError:
        """Add the file's name to an error, or replace the key path by the option of the fault."""
        index = len(self.settings.policy) - 1
        if self.allowed and error.where.startswith(f"policy[{index}]"):
            for at, said in enumerate(self.allowed):
                if error.where.startswith(f"policy[{index}].allow[{at}]"):
                    return ConfigError(f"--allow {said}", error.problem)
        is_option = error.where.startswith("--") or error.where == "the default listener"
        return error if error.file or is_option else ConfigError(error.where, error.problem, self.file)


def path_beside(file: str, written: str) -> str:
    """Make a path in a file absolute. With "" as the file, the path is relative to the working directory."""
    return os.path.abspath(os.path.join(os.path.dirname(file), written))


def load(file: str | None, allow: Sequence[str] = (), listen: Sequence[str] = ()) -> Source:
    """Read the settings.

    Args:
        file: the configuration file; None for the defaults.
        allow: hosts that are allowed in addition, each `HOST` or `HOST:PORT`.
        listen: endpoints of listeners that replace the listeners of the file.

    Raises:
        ConfigError: a setting is wrong; the error names the file or the option.
    """
    table = read(file) if file is not None else {}
    try:
        settings = structure(Settings, table)
    except ConfigError as error:
        raise ConfigError(error.where, error.problem, file or "")
    if file is not None and settings.state:
        settings = evolve(settings, state=path_beside(file, settings.state))
    if listen:
        settings = evolve(settings, listener=_listeners(listen))
    allowed = tuple(dict.fromkeys(allow))
    if allowed:
        settings = evolve(settings, policy=(*_named(settings.policy), allow_table(allowed)))
    return Source(settings, file or "", allowed, "--listen" if listen else "listener")


def _listeners(endpoints: Sequence[str]) -> tuple[ListenerSettings, ...]:
    first = ListenerSettings("default", endpoints[0])
    rest = (ListenerSettings(f"default-{number}", endpoint) for number, endpoint in enumerate(endpoints[1:], 2))
    return (first, *rest)


def _named(policies: tuple[Mapping[str, object], ...]) -> list[Mapping[str, object]]:
    """Fill in the names that default to the kind. The default does not apply if there is another policy of the kind."""
    uses = Counter(str(table.get("kind")) for table in policies)
    return [
        table
        if "name" in table or "kind" not in table or uses[str(table["kind"])] > 1
        else {**table, "name": table["kind"]}
        for table in policies
    ]
