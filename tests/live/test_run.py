"""`egress run`: a real command in real namespaces."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.contained import UID, as_user, can_make_namespaces, installed, remove_installed
from tests.live.origins import HELLO, Origin, Pages
from tests.live.support import PATIENCE_SECONDS, await_that, needs

# What a process says of itself, and what it can do, as one JSON object.
PROBE = r"""
import errno, json, os, socket, sys
def attempt(do):
    try:
        do()
        return "OPEN"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
def tcp(host, port):
    with socket.create_connection((host, port), 2): pass
def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s: s.sendto(b"x", (host, port))
def write(path):
    with open(path, "w") as f: f.write("x")
port, home = int(sys.argv[1]), os.environ["HOME"]
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
print(json.dumps({
    "uid": os.getuid(), "groups": os.getgroups(), "pid": os.getpid(), "hostname": socket.gethostname(),
    "capabilities": {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""},
    "no_new_privileges": status["NoNewPrivs"], "seccomp": status["Seccomp"],
    "interfaces": [name for _, name in socket.if_nameindex()],
    "descriptors": sorted(int(each) for each in os.listdir("/proc/self/fd"))[:4],
    "environment": {name: os.environ.get(name) for name in ("HTTPS_PROXY", "NO_PROXY", "SECRET", "EGRESS_STATE")},
    "home": os.listdir(home), "run": os.listdir("/run"), "devices": sorted(os.listdir("/dev")),
    "resolv": open("/etc/resolv.conf").read().startswith("# There are no name servers here"),
    "host loopback": attempt(lambda: tcp("127.0.0.1", port)),
    "address": attempt(lambda: tcp("192.0.2.1", 443)), "address6": attempt(lambda: tcp("2001:db8::1", 443)),
    "udp": attempt(lambda: udp("192.0.2.1", 53)),
    "raw": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
    "packet": attempt(lambda: socket.socket(17, 3)), "vsock": attempt(lambda: socket.socket(40, 1)),
    "abstract": attempt(lambda: socket.socket(socket.AF_UNIX).connect("\0egress-run-test")),
    "root": attempt(lambda: write("/x")), "etc": attempt(lambda: write("/etc/x")),
    "usr": attempt(lambda: write("/usr/x")),
    "core pattern": attempt(lambda: write("/proc/sys/kernel/core_pattern")),
    "cwd": attempt(lambda: write("written")), "parent": attempt(lambda: write("../written")),
    "tmp": attempt(lambda: write("/tmp/x")), "shm": attempt(lambda: write("/dev/shm/x")),
    "secret": attempt(lambda: open(os.path.join(home, "secret")).read()),
    "namespace": attempt(lambda: os.unshare(0x10000000)) if hasattr(os, "unshare") else "EPERM",
}))
"""


class RunCase(SynchronousTestCase):
    """A user with a home and a project in it."""

    @classmethod
    def tearDownClass(cls) -> None:
        remove_installed()

    def setUp(self) -> None:
        needs("setpriv", "setpriv (util-linux) is needed")
        needs(can_make_namespaces, "unprivileged user namespaces are needed")
        self.bin = installed()
        self.place = Path(tempfile.mkdtemp(prefix="egress-home-"))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.place.chmod(0o755)
        self.home, self.project = self.place / "home", self.place / "home" / "project"
        self.project.mkdir(parents=True)
        (self.home / "secret").write_text("secret")
        if os.getuid() == 0:
            for path in (self.home, self.project, self.home / "secret"):
                os.chown(path, UID, UID)
        self.origin = Origin(None, Pages)
        self.addCleanup(self.origin.stop)
        self.environment = {"HOME": str(self.home), "PATH": f"{self.bin}:/usr/bin:/bin", "SECRET": "1"}

    def words(self, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        """Make the words of a launch."""
        return as_user([str(self.bin / "egress"), "run", *options, "--", *command])

    def run_command(
        self, *command: str, options: tuple[str, ...] = (), stdin: int = subprocess.DEVNULL, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.words(*command, options=options),
            env=self.environment,
            cwd=cwd or self.project,
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE_SECONDS,
        )


class ContainmentTests(RunCase):
    """What a contained process is, sees and reaches."""

    def test_probe(self) -> None:
        """A process looks at itself, and tries to get out."""
        abstract = socket.socket(socket.AF_UNIX)
        self.addCleanup(abstract.close)
        abstract.bind("\0egress-run-test")
        abstract.listen()
        done = self.run_command("/usr/bin/python3", "-c", PROBE, str(self.origin.port))
        self.assertEqual(0, done.returncode, done.stderr)
        found = json.loads(done.stdout)

        expected = {
            "capabilities": True,
            "no_new_privileges": "1",
            "seccomp": "2",
            "interfaces": ["lo"],
            "run": [],
            "hostname": "egress",
            "descriptors": [0, 1, 2, 3],
            "home": ["project"],
            "resolv": True,
            "host loopback": "ECONNREFUSED",
            "address": "ENETUNREACH",
            "address6": "ENETUNREACH",
            "udp": "ENETUNREACH",
            "raw": "EPERM",
            "packet": "EAFNOSUPPORT",
            "vsock": "EAFNOSUPPORT",
            "abstract": "ECONNREFUSED",
            "root": "EROFS",
            "etc": "EROFS",
            "usr": "EROFS",
            "core pattern": "EROFS",
            "cwd": "OPEN",
            "tmp": "OPEN",
            "shm": "OPEN",
            "secret": "ENOENT",
            "namespace": "EPERM",
        }
        self.assertEqual(expected, {name: found[name] for name in expected})
        self.assertEqual(UID if os.getuid() == 0 else os.getuid(), found["uid"])
        self.assertLess(found["pid"], 10)
        self.assertEqual(
            {"HTTPS_PROXY": "http://127.0.0.1:3128", "NO_PROXY": "localhost,127.0.0.1,::1", "SECRET": None}
            | {"EGRESS_STATE": None},
            found["environment"],
        )
        for device in ("kvm", "fuse", "vsock", "sda", "mem"):
            self.assertNotIn(device, found["devices"])
        # The parent of the working directory is the empty home: what is written there is gone.
        self.assertFalse((self.home / "written").exists())
        self.assertEqual("x", (self.project / "written").read_text())

    def test_proxy(self) -> None:
        """What a rule allows is reached through the proxy; the rest is refused, and said at the end."""
        script = (
            f"curl -sS --noproxy '' http://127.0.0.1:{self.origin.port}/; echo; "
            "curl -s -o /dev/null -w '%{http_connect}\\n' https://forbidden.example/"
        )
        allowed = f"127.0.0.1:{self.origin.port}"
        done = self.run_command("sh", "-c", script, options=("--allow", allowed))

        self.assertEqual(f"{HELLO.decode()}\n403\n", done.stdout, done.stderr)
        self.assertIn("egress run: 2 requests, 1 refused; audit log: ", done.stderr)
        self.assertIn("To allow what no rule names: --allow forbidden.example:443", done.stderr)
        (log,) = (self.home / ".local/state/egress/runs").glob("*/audit.jsonl")
        self.assertEqual(0o700, log.parent.stat().st_mode & 0o777)

    def test_own_loopback(self) -> None:
        """A server of the command's own is reached directly."""
        script = (
            "import http.server, threading, urllib.request\n"
            "s = http.server.HTTPServer(('127.0.0.1', 3000), http.server.SimpleHTTPRequestHandler)\n"
            "threading.Thread(target=s.serve_forever, daemon=True).start()\n"
            "print(urllib.request.urlopen('http://localhost:3000/').status)\n"
        )
        done = self.run_command("/usr/bin/python3", "-c", script)

        self.assertEqual("200\n", done.stdout, done.stderr)
        self.assertIn("egress run: 0 requests, 0 refused", done.stderr)

    def test_planted_modules(self) -> None:
        """What an agent has left in the working directory is not imported by the next launch."""
        for name in ("socket.py", "sitecustomize.py", "click.py", "termios.py"):
            (self.project / name).write_text("raise SystemExit('planted')")
        planted = self.project / "egress"
        planted.mkdir()
        (planted / "__init__.py").write_text("raise SystemExit('planted')")
        self.environment["PYTHONPATH"] = str(self.project / "nowhere")
        done = self.run_command("true")

        self.assertEqual(0, done.returncode, done.stderr)
        self.assertNotIn("planted", done.stderr)


class StatusTests(RunCase):
    """How a launch ends."""

    def test_statuses(self) -> None:
        """The command's status is that of the launch."""
        for command, status in (
            (("sh", "-c", "exit 7"), 7),
            (("no-such-command",), 127),
            (("/etc/passwd",), 126),
            (("sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM),
        ):
            with self.subTest(command):
                self.assertEqual(status, self.run_command(*command).returncode)

    def test_refused_launches(self) -> None:
        """A launch that would contain nothing is refused, and says why."""
        for cwd, reason in ((self.home, "it is the home directory"), (Path("/"), "it is the root directory")):
            done = self.run_command("true", cwd=cwd)
            self.assertEqual(125, done.returncode)
            self.assertIn(reason, done.stderr)
        done = self.run_command("true", options=("--allow", "http://a.example"))
        self.assertEqual(125, done.returncode)
        self.assertIn("--allow: must be HOST or HOST:PORT", done.stderr)
        if os.getuid() == 0:
            words = [str(self.bin / "egress"), "run", "--", "true"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=self.project)
            self.assertEqual(125, done.returncode)
            self.assertIn("start it as an ordinary user", done.stderr)

    def test_streams(self) -> None:
        """A file is copied, and a directory is refused: both would be ways past the view."""
        given = self.home / "input"
        given.write_text("from a file")
        with given.open() as file:
            done = self.run_command("sh", "-c", "cat; readlink /proc/self/fd/0", stdin=file.fileno())
        self.assertTrue(done.stdout.startswith("from a filepipe:"), done.stdout)
        directory = os.open(self.home, os.O_RDONLY)
        self.addCleanup(os.close, directory)
        done = self.run_command("true", stdin=directory)
        self.assertNotEqual(0, done.returncode)
        self.assertIn("is a directory", done.stderr)  # Python itself refuses it.
        with socket.create_connection(("127.0.0.1", self.origin.port)) as connected:
            done = self.run_command("true", stdin=connected.fileno())
        self.assertEqual(125, done.returncode)
        self.assertIn("standard input is a network socket", done.stderr)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command that says when it runs."""
        started = subprocess.Popen(
            self.words(*command), env=self.environment, cwd=self.project, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        self.addCleanup(self.finish, started)
        assert started.stdout is not None
        self.assertEqual("ready\n", started.stdout.readline())
        return started

    def finish(self, process: subprocess.Popen[str]) -> None:
        """End it, if it has not ended."""
        if process.poll() is None:
            process.kill()
        process.communicate()

    def test_signals(self) -> None:
        """SIGTERM reaches the command, whose answer to it is its own."""
        process = self.start("sh", "-c", "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
        process.terminate()
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)

        self.assertEqual(("caught\n", 3), (output, process.returncode))

    def test_kill(self) -> None:
        """With the launch everything in it dies, also what forked away."""
        process = self.start("sh", "-c", "setsid sleep 987 & echo ready; sleep 987")
        process.kill()

        def is_gone() -> bool:
            found = subprocess.run(["pgrep", "-f", "sleep 987"], capture_output=True, text=True)
            return not found.stdout

        await_that(is_gone, lambda: "a process of the command lives on")

    def test_supervisor_killed(self) -> None:
        """Without the supervisor there is no way out."""
        script = "echo ready; sleep 3; curl -sS --noproxy '' http://127.0.0.1:1/ ; echo $?"
        process = self.start("sh", "-c", script)
        time.sleep(0.5)
        found = subprocess.run(
            ["pgrep", "-f", "egress.cli serve.*systemd:egress-run"], capture_output=True, text=True, check=True
        )
        for pid in found.stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)

        self.assertEqual("7\n", output)  # curl: failed to connect
