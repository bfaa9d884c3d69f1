"""Reloads and rotations while a soak runs."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.live.soak.comparison import Comparison
from tests.live.soak.configurations import Configurations
from tests.live.soak.entrance import SECRET

EGRESS = Path(sys.executable).parent / "egress"
_PATIENCE_SECONDS = 60.0


class Reloads:
    """Writes other configurations, and has them reloaded by `egress reload`.

    Attributes:
        done: how many configurations were taken.
        refused: how many were invalid, and refused.
    """

    def __init__(self, configurations: Configurations, comparison: Comparison, rng: random.Random) -> None:
        self._configurations, self._comparison, self._rng = configurations, comparison, rng
        self.done = self.refused = 0

    def change(self) -> None:
        """Reload another configuration."""
        self._reload(is_valid=self._configurations.change(self._rng))

    def calm(self) -> None:
        """Reload the configuration of the start."""
        self._configurations.calm()
        self._reload(is_valid=True)

    def _reload(self, *, is_valid: bool) -> None:
        state = self._configurations.directory / "state"
        done = subprocess.run(
            [EGRESS, "reload", "--state", state], capture_output=True, text=True, timeout=_PATIENCE_SECONDS
        )
        if done.returncode != (0 if is_valid else 1):
            self._comparison.fail(f"a reload ended with {done.returncode}: {done.stdout}{done.stderr}")
        elif is_valid:
            self.done += 1
        else:
            self.refused += 1


class Rotations:
    """Renames the audit log, sends SIGHUP, and reads the file that was completed by it.

    Attributes:
        files: the files in their order.
        bytes: their size.
    """

    def __init__(self, state: Path, pid: int, comparison: Comparison) -> None:
        self.files: list[Path] = []
        self.bytes = 0
        self._state, self._pid, self._comparison = state, pid, comparison

    @property
    def _current(self) -> Path:
        return self._state / "audit.jsonl"

    def rotate(self) -> None:
        """Rotate as logrotate does, and compare the lines of the old file."""
        file = self._state / f"audit.{len(self.files):05d}.jsonl"
        os.rename(self._current, file)
        os.kill(self._pid, signal.SIGHUP)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._is_begun():
            if time.monotonic() > deadline:
                self._comparison.fail("the audit log was not opened again after a rotation")
                return
            time.sleep(0.01)
        self._read(file, "reopen")

    def _is_begun(self) -> bool:
        """Whether there is a new file with a line, so that the old one has its last."""
        try:
            return self._current.stat().st_size > 0
        except FileNotFoundError:
            return False

    def finish(self) -> None:
        """Compare the lines of the last file, after the supervisor has ended."""
        self._read(self._current, "stop")

    def _read(self, file: Path, last_event: str) -> None:
        self.files.append(file)
        self.bytes += file.stat().st_size
        event = ""
        with file.open("rb") as lines:
            for text in lines:
                if SECRET.encode() in text:
                    self._comparison.fail(f"a line has what it must not have: {text!r}")
                line = json.loads(text)
                event = line["event"]
                self._comparison.take_line(line)
        if event != last_event:
            self._comparison.fail(f"{file.name} ends with a line of the event {event}, not {last_event}")

    def verify(self) -> None:
        """Have `egress audit verify` check all files as one, and the last one alone, with the recorded head."""
        whole = self._state / "whole.jsonl"
        with whole.open("wb") as written:
            for file in self.files:
                written.write(file.read_bytes())
        head = self._state / "audit-head-file.json"
        for words in (["--head", head, whole], [self.files[-1]]):
            done = subprocess.run([EGRESS, "audit", "verify", *words], capture_output=True, text=True)
            if done.returncode:
                self._comparison.fail(f"egress audit verify: {done.returncode}: {done.stdout}{done.stderr}")
        whole.unlink()
