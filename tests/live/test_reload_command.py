"""`egress reload`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from egress.cli import main
from egress.service.listen.unix_path import short_name
from egress.service.process.control_socket import control_path
from tests.live.support import PATIENCE_SECONDS


class ReloadTests(SynchronousTestCase):
    """What the command says of the supervisor's answer. The supervisor is a thread that has one ready."""

    def setUp(self) -> None:
        self.state = self.directory()
        self.asked: list[object] = []

    def directory(self) -> Path:
        """Make a directory with a short name, so that the tests can bind a socket in it by its path."""
        path = Path(tempfile.mkdtemp(prefix="egress-"))
        self.addCleanup(shutil.rmtree, path)
        return path

    def run_reload(self, answer: bytes | None = None, options: Sequence[str] | None = None) -> Result:
        """Run the command.

        Args:
            answer: what is said to its question; None if nobody listens.
            options: in place of `--state`.
        """
        arguments = ["reload", *(("--state", str(self.state)) if options is None else options)]
        if answer is None:
            return CliRunner().invoke(main, arguments)
        with socket.socket(socket.AF_UNIX) as listening:
            with short_name(control_path(str(self.state))) as name:
                listening.bind(name)
            listening.listen()
            listening.settimeout(PATIENCE_SECONDS)
            thread = threading.Thread(target=self.serve, args=(listening, answer))
            thread.start()
            try:
                return CliRunner().invoke(main, arguments)
            finally:
                thread.join()

    def serve(self, listening: socket.socket, answer: bytes) -> None:
        """Answer one question."""
        connection, _ = listening.accept()
        with connection:
            line = b""
            while not line.endswith(b"\n") and (data := connection.recv(4096)):
                line += data
            self.asked.append(json.loads(line))
            connection.sendall(answer)

    def test_in_force(self) -> None:
        """The new generation and what changed go to stdout; weaknesses and warnings to stderr."""
        result = {
            "generation": 7,
            "changed": ["policy rate is new", "[limits] changed"],
            "weaker": ["the guard is off"],
            "warnings": ["audit takes effect at the next start"],
        }
        done = self.run_reload(json.dumps({"result": result}).encode() + b"\n")

        self.assertEqual((0, [{"do": "reload"}]), (done.exit_code, self.asked))
        self.assertIn("configuration 7 is in force: policy rate is new; [limits] changed\n", done.output)
        self.assertIn("egress: protects less: the guard is off\n", done.output)
        self.assertIn("egress: audit takes effect at the next start\n", done.output)

    def test_nothing_changed(self) -> None:
        """A file that says the same is told so."""
        done = self.run_reload(b'{"result": {"generation": 2, "changed": [], "weaker": [], "warnings": []}}\n')

        told = "configuration 2 is in force: nothing changed in the file; what it names was read anew\n"
        self.assertEqual((0, told), (done.exit_code, done.output))

    def test_error(self) -> None:
        """Where the old one stays, the error is one line, and the status is 1."""
        done = self.run_reload(b'{"error": "egress.toml: guard: must be a table\\u001b"}\n')

        said = "egress: nothing changed: egress.toml: guard: must be a table\\x1b\n"
        self.assertEqual((1, said), (done.exit_code, done.output))

    def test_deep(self) -> None:
        """A state directory whose path is longer than a socket's address is found too."""
        self.state = self.directory() / ("d" * 120)
        self.state.mkdir()

        done = self.run_reload(b'{"result": {"generation": 2}}\n')

        self.assertEqual(0, done.exit_code, done.output)

    def test_nobody(self) -> None:
        """Status 4 where no proxy listens, also where one was killed."""
        self.assertEqual(4, self.run_reload().exit_code)
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(control_path(str(self.state)))
        done = self.run_reload()

        self.assertEqual(4, done.exit_code)
        self.assertIn("no proxy listens on ", done.output)
        self.assertEqual(4, self.run_reload(None, ["--state", "/" + "x" * 200]).exit_code)

    def test_nonsense(self) -> None:
        """An answer that is none is no success."""
        shapes = (
            *(b"5", b"{}", b'{"generation": "7"}', b'{"generation": true}', b'{"changed": []}'),
            *(b'{"generation": 7, "changed": 5}', b'{"generation": 7, "weaker": [{}]}'),
            *(b'{"generation": "\\u001b[2J"}', b'{"generation": {"a": 1}}'),
        )
        answers = [b"", b"{\n", b"[]\n", b"\xff\n", b"[" * 99_999 + b"\n"]
        for answer in [*answers, *(b'{"result": ' + shape + b"}\n" for shape in shapes)]:
            self.state = self.directory()
            done = self.run_reload(answer)
            self.assertEqual((1, SystemExit), (done.exit_code, type(done.exception)), done.output)
            self.assertIn("gave no answer", done.output)

    def test_whose_socket(self) -> None:
        """A socket that another user serves, neither root nor the directory's owner, is told nothing."""
        if os.geteuid():
            raise SkipTest("only root can be somebody else")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(control_path(str(self.state)))
            os.seteuid(12_345)
            try:
                listening.listen()  # the kernel notes the user at this moment
            finally:
                os.seteuid(0)
            arguments = ["reload", "--state", str(self.state)]

            done = CliRunner().invoke(main, arguments)

            self.assertEqual(4, done.exit_code)
            self.assertIn("control.sock is served by user 12345: ", done.output)
            listening.setblocking(False)
            connection, _ = listening.accept()
            with connection:
                self.assertEqual(b"", connection.recv(4096))

    def test_which_proxy(self) -> None:
        """The proxy is found as `egress tail` finds the audit log: by its file, else in the user's state directory."""
        file = Path(self.mktemp())
        file.write_text(f"state = {json.dumps(str(self.state))}\n")
        answer = b'{"result": {"generation": 2}}\n'
        self.assertEqual(0, self.run_reload(answer, ["--config", str(file)]).exit_code)
        os.unlink(control_path(str(self.state)))
        self.patch(os, "environ", {**os.environ, "EGRESS_STATE": str(self.state)})

        self.assertEqual(0, self.run_reload(answer, []).exit_code)

    def test_wrong_options(self) -> None:
        """Two ways to say which proxy are one too many; a file that cannot be read is told as what it is."""
        self.assertEqual(2, self.run_reload(None, ["--config", "a", "--state", "b"]).exit_code)
        done = self.run_reload(None, ["--config", "/nowhere"])
        self.assertEqual((1, "egress: nothing changed: /nowhere: cannot be read: No such file or directory\n"), (
            done.exit_code,
            done.output,
        ))  # fmt: skip
