"""The lock of the state directory: one supervisor uses it at a time."""

from __future__ import annotations

import fcntl
import os

from egress.errors import ConfigError

LOCK_NAME = "lock"


class StateLock:
    """Locks a state directory, from `acquire` to `release` or the end of the process.

    Args:
        state: the state directory.
    """

    def __init__(self, state: str) -> None:
        self._state = state
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Lock the directory, which is created with mode 0700 if it is missing.

        A directory that cannot be written is not locked: a proxy cannot share anything in it.

        Raises:
            ConfigError: another process holds the lock, or it cannot be used; where is "state".
        """
        path = os.path.join(self._state, LOCK_NAME)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            os.makedirs(self._state, mode=0o700, exist_ok=True)
            self._descriptor = os.open(path, flags, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            problem = f"another egress uses the state directory {self._state}"
            advice = "give this one its own by `state` in its file, or by $EGRESS_STATE if no file sets it"
            raise ConfigError("state", f"{problem}: {advice}")
        except OSError as error:
            self.release()
            if os.path.lexists(path):
                raise ConfigError("state", f"{path} cannot be locked: {error.strerror}")

    def release(self) -> None:
        """Let another process use the directory."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # The file stays: another process may have locked it by now.
            os.close(descriptor)
