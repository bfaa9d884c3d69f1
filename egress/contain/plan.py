"""What a launch is to do, as a value that the launcher receives from the command."""

from __future__ import annotations

import json
from typing import NamedTuple

from egress.contain.view import View


class Plan(NamedTuple):
    """One launch.

    Attributes:
        command: the program and its arguments.
        environment: the environment of the program.
        view: what the program sees of the file system.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    view: View

    def dump(self) -> bytes:
        """Return the plan as JSON."""
        return json.dumps([self.command, self.environment, self.view._asdict()]).encode("utf-8", "surrogateescape")

    @classmethod
    def load(cls, octets: bytes) -> Plan:
        """Read a plan of `dump`."""
        command, environment, view = json.loads(octets.decode("utf-8", "surrogateescape"))
        view["read_write"], view["read_only"] = tuple(view["read_write"]), tuple(view["read_only"])
        return cls(tuple(command), environment, View(**view))
