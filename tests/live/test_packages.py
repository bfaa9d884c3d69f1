"""git, pip and npm as clients."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import cast

from tests.live.origins import STALL_SECONDS, Pages, pattern
from tests.live.support import PATIENCE_SECONDS, REFUSED, LiveCase, needs

FILE = "acme-1.0-py3-none-any.whl"
REQUEST_FORMS = ((False, "http"), (True, "connect"))


def wheel() -> bytes:
    """Make the smallest wheel that pip takes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        info = "acme-1.0.dist-info"
        archive.writestr("acme.py", "")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return content.getvalue()


def tarball() -> bytes:
    """Make the smallest package that npm takes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        text = b'{"name": "acme", "version": "1.0.0"}'
        member = tarfile.TarInfo("package/package.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return content.getvalue()


class Index(Pages):
    """A Python index and an npm registry with one package each."""

    wheel = wheel()
    tarball = tarball()

    def do_GET(self) -> None:
        """Give a page of either."""
        path = self.see()
        if path == "/simple/acme/":
            self.answer(f'<a href="/{FILE}">{FILE}</a>'.encode(), "text/html")
        elif path == f"/{FILE}":
            self.answer(self.wheel, "application/octet-stream")
        elif path == "/acme":
            self.answer(json.dumps(self.packument()).encode("ascii"), "application/json")
        elif path == "/acme-1.0.0.tgz":
            self.answer(self.tarball, "application/octet-stream")
        else:
            self.send_error(404)

    def packument(self) -> dict[str, object]:
        """What npm reads about a package."""
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(self.tarball).digest()).decode("ascii")
        there = {"tarball": f"{self.origin.url}/acme-1.0.0.tgz", "integrity": integrity}
        version = {"name": "acme", "version": "1.0.0", "dist": there}
        return {"name": "acme", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}


class GitPages(Pages):
    """Serves the repositories in a directory, by git's own `http-backend` (RFC 3875)."""

    root: Path

    def do_GET(self) -> None:
        """Run it."""
        path = self.see()
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": self.path.partition("?")[2],
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "agent",
            "REMOTE_ADDR": "127.0.0.1",
        }
        content = b"".join(self.content())
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        done = subprocess.run(
            ["git", "http-backend"],
            env={**environment, "CONTENT_LENGTH": str(len(content))},
            input=content,
            capture_output=True,
            timeout=STALL_SECONDS,
            check=True,
        )
        head, _, page = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    do_POST = do_GET


class GitTests(LiveCase):
    """git, with the proxy in its environment."""

    def setUp(self) -> None:
        """Make a repository and a server for it."""
        needs("git", "git is not installed")
        needs(self.has_backend, "git http-backend is not installed")
        super().setUp()
        self.tree = self.directory()
        root = self.directory()
        self.git("init", "--quiet", "--initial-branch=main", ".")
        (self.tree / "file").write_bytes(b"".join(pattern(100_000)))
        self.git("add", "file")
        self.git("commit", "--quiet", "--message=first")
        self.git("clone", "--quiet", "--bare", ".", str(root / "acme.git"))
        self.git("--git-dir", str(root / "acme.git"), "config", "http.receivepack", "true")
        self.pages = cast("type[BaseHTTPRequestHandler]", type("Repositories", (GitPages,), {"root": root}))

    @staticmethod
    def has_backend() -> bool:
        """Whether git has its server."""
        words = ("git", "--exec-path")
        where = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
        return (Path(where.stdout.strip()) / "git-http-backend").exists()

    def git(self, *words: str, cwd: Path | None = None, has_proxy: bool = False, is_good: bool = True) -> str:
        """Run it.

        Returns:
            What it complained of.
        """
        names = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
        who = dict.fromkeys(names, "agent@example")
        own = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_SSL_CAINFO": str(self.authority.path)}
        environment = self.environment({**who, **own}, has_proxy=has_proxy)
        done = self.run_client("git", *words, environment=environment, cwd=cwd or self.tree)
        self.assertEqual(is_good, done.returncode == 0, done.stderr)
        return done.stderr

    def test_clone_and_push(self) -> None:
        """A clone is whole; a push with content in chunks arrives, and another clone has it."""
        for is_tls, supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                origin = self.origin(is_tls=is_tls, pages=self.pages)
                url, clone = f"{origin.url}/acme.git", self.directory()

                self.git("clone", "--quiet", url, ".", cwd=clone, has_proxy=True)
                self.assertEqual((self.tree / "file").read_bytes(), (clone / "file").read_bytes())
                (clone / supervisor).write_bytes(b"".join(pattern(200_000))[::-1])
                self.git("add", supervisor, cwd=clone)
                self.git("commit", "--quiet", "--message=second", cwd=clone)
                # A push that is larger than this buffer is sent in chunks.
                self.git("-c", "http.postBuffer=65536", "push", "--quiet", "origin", "main", cwd=clone, has_proxy=True)
                again = self.directory()
                self.git("clone", "--quiet", url, ".", cwd=again, has_proxy=True)

                self.assertEqual((clone / supervisor).read_bytes(), (again / supervisor).read_bytes())
                self.assertIn("chunked", [seen.fields.get("transfer-encoding") for seen in origin.seen])
                count = len(origin.seen) if supervisor == "http" else 3
                self.assert_passed(origin.port, *[supervisor] * count)

    def test_refused(self) -> None:
        """The status is in git's own complaint."""
        port = self.origin().port

        for scheme in ("http", "https"):
            complaint = self.git("clone", f"{scheme}://{REFUSED}:{port}/acme.git", has_proxy=True, is_good=False)
            self.assertIn("403", complaint)

        self.assert_refused(port, "http", "connect")


class PipTests(LiveCase):
    """pip, by `--proxy` and by its environment."""

    def setUp(self) -> None:
        """Choose options."""
        super().setUp()
        self.words = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--retries=0"]
        self.words += ["--timeout=20", "--disable-pip-version-check", "--dest=."]

    def pip(self, *words: str, has_proxy: bool) -> tuple[int, Path, str]:
        """Run it with no configuration but this.

        Returns:
            Its exit status, where it put what it got, and its complaint.
        """
        target = self.directory()
        environment = self.environment({"PIP_CONFIG_FILE": os.devnull}, has_proxy=has_proxy)
        done = self.run_client(*self.words, *words, environment=environment, cwd=target)
        return done.returncode, target, done.stdout + done.stderr

    def test_download(self) -> None:
        """A wheel from an index."""
        trusts = (f"--trusted-host={self.place.host}", f"--cert={self.authority.path}")
        proxies = ((), (f"--proxy={self.supervisor.url}",))
        for (is_tls, supervisor), trust, proxy in zip(REQUEST_FORMS, trusts, proxies, strict=True):
            with self.subTest(supervisor=supervisor):
                origin = self.origin(is_tls=is_tls, pages=Index)

                status, target, complaint = self.pip(
                    "acme", f"--index-url={origin.url}/simple/", trust, *proxy, has_proxy=not proxy
                )

                self.assertEqual(0, status, complaint)
                self.assertEqual(Index.wheel, (target / FILE).read_bytes())
                fronts = ["http"] * len(origin.seen) if supervisor == "http" else ["connect"]
                self.assert_passed(origin.port, *fronts)

    def test_refused(self) -> None:
        """The status is in pip's complaint about a file; of a refused index it only says that it has nothing."""
        for scheme, supervisor in (("http", "http"), ("https", "connect")):
            with self.subTest(supervisor=supervisor):
                port = self.origin().port

                status, _, complaint = self.pip(f"{scheme}://{REFUSED}:{port}/{FILE}", has_proxy=True)

                self.assertNotEqual(0, status)
                self.assertIn("403", complaint)
                self.assert_refused(port, supervisor)


class NpmTests(LiveCase):
    """npm, with the proxy in its environment."""

    def setUp(self) -> None:
        """Look for it."""
        needs("npm", "npm is not installed")
        super().setUp()

    def npm(self, registry: str) -> tuple[int, Path, str]:
        """Install a package.

        Returns:
            npm's exit status, the project's directory, and npm's complaint.
        """
        project = self.directory()
        (project / "package.json").write_text('{"name": "project", "version": "1.0.0"}', "ascii")
        options = {
            "registry": registry,
            "cafile": str(self.authority.path),
            "audit": "false",
            "fund": "false",
            "update_notifier": "false",
            "fetch_retries": "0",
            "userconfig": str(project / "none"),
            "globalconfig": str(project / "none-either"),
        }
        environment = self.environment({f"npm_config_{name}": value for name, value in options.items()})
        done = self.run_client("npm", "install", "acme", environment=environment, cwd=project)
        return done.returncode, project, done.stderr

    def test_install(self) -> None:
        """A package from a registry."""
        for is_tls, supervisor in REQUEST_FORMS:
            with self.subTest(supervisor=supervisor):
                origin = self.origin(is_tls=is_tls, pages=Index)

                status, project, complaint = self.npm(f"{origin.url}/")

                self.assertEqual(0, status, complaint)
                text = (project / "node_modules" / "acme" / "package.json").read_text("ascii")
                self.assertEqual("acme", json.loads(text)["name"])
                self.assertEqual({"/acme", "/acme-1.0.0.tgz"}, {seen.target for seen in origin.seen})
                # How many tunnels it opens is npm's affair.
                for line in self.lines(origin.port):
                    self.assertEqual(
                        (supervisor, "allow", 200),
                        (line["request_form"], line["verdict"], line["http_response_status_code"]),
                    )

    def test_refused(self) -> None:
        """It fails and says that it was forbidden."""
        for scheme, supervisor in (("http", "http"), ("https", "connect")):
            with self.subTest(scheme=scheme):
                port = self.origin().port

                status, _, complaint = self.npm(f"{scheme}://{REFUSED}:{port}/")

                self.assertNotEqual(0, status)
                self.assertIn("403 Forbidden", complaint)
                self.assert_refused(port, supervisor)
