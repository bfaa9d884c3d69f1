"""Starts a program as systemd does: with passed descriptors, a watchdog and a limit of open files.

Run it as a file: LAUNCHER JSON COMMAND... . The JSON object may have `sockets` (names with the numbers of inherited
descriptors), `claimed` (LISTEN_FDS, where it is not their number) and `files` (RLIMIT_NOFILE). Where $WATCHDOG_USEC is
set, the watchdog is told to watch the program.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import sys

_FIRST = 3


def main() -> None:
    """Prepare, and become the program."""
    wanted = json.loads(sys.argv[1])
    command = sys.argv[2:]
    sockets = wanted.get("sockets", [])
    # Out of the way first: the places that they go to may be taken by one another.
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100) for _, number in sockets]
    for place, number in enumerate(high, _FIRST):
        os.dup2(number, place)
    if sockets:
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.environ["LISTEN_FDS"] = str(wanted.get("claimed") or len(sockets))
        os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in sockets)
    if "WATCHDOG_USEC" in os.environ:
        os.environ["WATCHDOG_PID"] = str(os.getpid())
    if files := wanted.get("files"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
