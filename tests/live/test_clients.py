"""Programs as clients: curl, wget and Node, through the supervisor to origins on this machine."""

from __future__ import annotations

import json
from typing import Any

from tests.live.origins import HELLO, Origin, digest, pattern
from tests.live.support import BASIC, COOKIE, FIELDS, QUERY, REFUSED, TOKEN, LiveCase, needs, with_user

UPLOAD_SIZE = 300_000

_NODE = """
const http = require("http"), tls = require("tls"), https = require("https"), fs = require("fs");
const [proxyPort, kind, host, port, ca] = process.argv.slice(2);
const proxy = {host: "127.0.0.1", port: proxyPort};
const path = "/hello?query-secret-7391";
const headers = {authorization: "Bearer authorization-secret-7391", cookie: "session=cookie-secret-7391"};
function show(response) {
  let text = "";
  response.on("data", piece => text += piece);
  response.on("end", () => console.log(JSON.stringify({status: response.statusCode, text})));
}
if (kind == "http") {
  const url = `http://${host}:${port}${path}`;
  http.get({...proxy, path: url, headers: {...headers, host: `${host}:${port}`}, agent: false}, show);
} else {
  const request = http.request({...proxy, method: "CONNECT", path: `${host}:${port}`, agent: false});
  request.on("connect", (response, socket, early) => {
    if (response.statusCode != 200) {
      console.log(JSON.stringify({status: response.statusCode, text: early.toString()}));
      socket.destroy();
      return;
    }
    const secure = tls.connect({socket, servername: host, ca: fs.readFileSync(ca)}, () => {
      https.get({host, port, path, headers: {...headers, connection: "close"}, createConnection: () => secure}, show);
    });
  });
  request.end();
}
"""


class ProgramCase(LiveCase):
    """Says what every client has to get."""

    def assert_got_in_full(self, origin: Origin) -> None:
        """The origin got what is on no record."""
        (seen,) = origin.seen
        self.assertEqual(f"/hello?{QUERY}", seen.target)
        self.assertEqual(f"Bearer {TOKEN}", seen.fields["authorization"])
        self.assertIn(COOKIE, seen.fields["cookie"])
        self.assertNotIn("proxy-authorization", seen.fields)

    def assert_problem(self, text: str) -> None:
        """A refusal says what, why and what helps."""
        problem = json.loads(text)
        self.assertEqual((403, "no_rule", False), (problem["status"], problem["code"], problem["may_retry"]))
        self.assertTrue(problem["hint"])


class CurlTests(ProgramCase):
    """curl, with the proxy in its environment."""

    def setUp(self) -> None:
        """Look for it."""
        needs("curl", "curl is not installed")
        super().setUp()
        self.fields = [word for name, value in FIELDS.items() for word in ("--header", f"{name}: {value}")]

    def curl(self, *words: str, stdin: bytes = b"") -> tuple[int, str, dict[str, Any], str]:
        """Run it.

        Returns:
            Its exit status, what it got, what it knows about that and what it complained of.
        """
        report = "%{stderr}%{json}"
        trust = ("--cacert", str(self.authority.path))
        done = self.run_client("curl", "--no-progress-meter", *trust, "--write-out", report, *words, stdin=stdin)
        complaint, brace, rest = done.stderr.partition("{")
        return done.returncode, done.stdout, json.loads(brace + rest), complaint

    def test_plain(self) -> None:
        """A page by plain HTTP, with all that the client sent; credentials for the proxy stay here."""
        origin = self.origin()

        status, text, _, _ = self.curl(*self.fields, "--proxy-user", f"agent:{TOKEN}", f"{origin.url}/hello?{QUERY}")

        self.assertEqual((0, HELLO.decode()), (status, text))
        self.assert_got_in_full(origin)
        (line,) = self.assert_passed(origin.port, "http")
        self.assertEqual(
            ("GET", "/hello", 200), (line["http_request_method"], line["url_path"], line["http_response_status_code"])
        )
        self.assertEqual((0, len(HELLO), "complete"), (line["client_bytes"], line["server_bytes"], line["cause"]))

    def test_tunnel(self) -> None:
        """A page by HTTPS: the record knows the tunnel, its server name, and nothing of what is inside."""
        origin = self.origin(is_tls=True)

        status, text, _, _ = self.curl(*self.fields, "--proxy-user", f"agent:{TOKEN}", f"{origin.url}/hello?{QUERY}")

        self.assertEqual((0, HELLO.decode()), (status, text))
        self.assert_got_in_full(origin)
        (line,) = self.assert_passed(origin.port, "connect")
        self.assertEqual(
            ("CONNECT", None, self.place.host),
            (line["http_request_method"], line["url_path"], line["tls_client_server_name"]),
        )
        self.assertGreater(line["server_bytes"], len(HELLO))

    def test_plain_refused(self) -> None:
        """A refusal is a 403 with a problem document that a program can read."""
        port = self.origin().port

        status, text, report, _ = self.curl(f"http://{REFUSED}:{port}/hello?{QUERY}")

        self.assertEqual((0, 403, "application/problem+json"), (status, report["http_code"], report["content_type"]))
        self.assert_problem(text)
        self.assert_refused(port, "http")

    def test_tunnel_refused(self) -> None:
        """A tunnel that is refused is an error of the transfer, and the status is told."""
        port = self.origin().port

        status, text, report, complaint = self.curl(f"https://{REFUSED}:{port}/")

        self.assertEqual((56, "", 403), (status, text, report["http_connect"]))
        self.assertIn("403", complaint)
        self.assert_refused(port, "connect")

    def test_upload(self) -> None:
        """Content arrives whole: by length, in chunks, and after waiting for 100 Continue."""
        content = b"".join(pattern(UPLOAD_SIZE))
        expected = {"sha256": digest(pattern(UPLOAD_SIZE)), "size": UPLOAD_SIZE}
        ways = {
            "by length": ("--data-binary", "@-"),
            "in chunks": ("--upload-file", "-"),
            "expecting": ("--header", "Expect: 100-continue", "--expect100-timeout", "30", "--data-binary", "@-"),
        }
        for way, words in ways.items():
            for is_tls, supervisor in ((False, "http"), (True, "connect")):
                with self.subTest(way=way, supervisor=supervisor):
                    origin = self.origin(is_tls=is_tls)

                    status, text, _, complaint = self.curl(*words, f"{origin.url}/upload", stdin=content)

                    self.assertEqual(0, status, complaint)
                    self.assertEqual(expected, json.loads(text))
                    (line,) = self.assert_passed(origin.port, supervisor)
                    self.assertGreaterEqual(line["client_bytes"], UPLOAD_SIZE)
                    is_expecting = "expect" in origin.seen[0].fields
                    # curl expects a 100 of its own accord where the content's length is unknown or great.
                    self.assertTrue(is_expecting or way != "expecting")

    def test_upload_refused(self) -> None:
        """A client that waits for 100 Continue gets the refusal and sends nothing."""
        port = self.origin().port
        content = b"".join(pattern(UPLOAD_SIZE))

        status, text, report, _ = self.curl(
            "--header",
            "Expect: 100-continue",
            "--expect100-timeout",
            "30",
            "--data-binary",
            "@-",
            f"http://{REFUSED}:{port}/upload",
            stdin=content,
        )

        self.assertEqual((0, 403, 0), (status, report["http_code"], report["size_upload"]))
        self.assert_problem(text)
        self.assert_refused(port, "http")

    def test_kept_alive(self) -> None:
        """One connection to the proxy serves several requests, and a refusal among them does not end it."""
        origin = self.origin()
        page, head = f"{origin.url}/hello", ("--next", "--no-progress-meter")

        done = self.run_client(
            "curl",
            "--no-progress-meter",
            "--write-out",
            "%{num_connects}\n",
            *(page, f"http://{REFUSED}:{origin.port}/", page),
            *("--output", "first", "--output", "second", "--output", "third"),
            *(*head, "--write-out", "%{num_connects}\n", "--head", page, "--output", "fourth"),
        )

        self.assertEqual((0, "1\n0\n0\n0\n"), (done.returncode, done.stdout), done.stderr)
        lines = self.lines(origin.port, 4)
        self.assertEqual([200, 403, 200, 200], [line["http_response_status_code"] for line in lines])
        self.assertEqual(1, len({line["connection_id"] for line in lines}))


class WgetTests(ProgramCase):
    """wget, with the proxy in its environment."""

    def setUp(self) -> None:
        """Look for it."""
        needs("wget", "wget is not installed")
        super().setUp()
        self.words = ["wget", "--tries=1", "--output-document=-", f"--ca-certificate={self.authority.path}"]
        self.words += [f"--header={name}: {value}" for name, value in FIELDS.items()]

    def test_pages(self) -> None:
        """A page by plain HTTP and by HTTPS."""
        for is_tls, supervisor in ((False, "http"), (True, "connect")):
            with self.subTest(supervisor=supervisor):
                origin = self.origin(is_tls=is_tls)

                done = self.run_client(*self.words, f"{origin.url}/hello?{QUERY}")

                self.assertEqual((0, HELLO.decode()), (done.returncode, done.stdout), done.stderr)
                self.assert_got_in_full(origin)
                self.assert_passed(origin.port, supervisor)

    def test_user_information(self) -> None:
        """User information of the URL reaches the origin as credentials, and no log."""
        origin = self.origin()

        done = self.run_client("wget", "--tries=1", "--output-document=-", with_user(f"{origin.url}/hello"))

        self.assertEqual((0, HELLO.decode()), (done.returncode, done.stdout), done.stderr)
        self.assertEqual(BASIC, origin.seen[-1].fields["authorization"])
        self.assert_passed(origin.port, *(["http"] * len(origin.seen)))

    def test_refused(self) -> None:
        """It says that the proxy forbids it."""
        for scheme, supervisor in (("http", "http"), ("https", "connect")):
            with self.subTest(supervisor=supervisor):
                port = self.origin().port

                done = self.run_client(*self.words, f"{scheme}://{REFUSED}:{port}/")

                self.assertNotEqual(0, done.returncode)
                self.assertIn("Forbidden", done.stderr)
                self.assert_refused(port, supervisor)


class NodeTests(ProgramCase):
    """Node without packages: an absolute target by http.get, a tunnel by CONNECT and tls.connect."""

    def setUp(self) -> None:
        """Look for it."""
        needs("node", "Node is not installed")
        super().setUp()

    def node(self, kind: str, host: str, port: int) -> dict[str, Any]:
        """Run a script."""
        script = self.directory() / "client.js"
        script.write_text(_NODE, "ascii")
        proxy = str(self.supervisor.port)
        environment = self.environment(has_proxy=False)
        words = ("node", script, proxy, kind, host, str(port), self.authority.path)
        done = self.run_client(*words, environment=environment)
        self.assertEqual(0, done.returncode, done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def test_pages(self) -> None:
        """A page by plain HTTP and by HTTPS."""
        for is_tls, supervisor in ((False, "http"), (True, "connect")):
            with self.subTest(supervisor=supervisor):
                origin = self.origin(is_tls=is_tls)

                answer = self.node(supervisor, self.place.host, origin.port)

                self.assertEqual({"status": 200, "text": HELLO.decode()}, answer)
                self.assert_got_in_full(origin)
                self.assert_passed(origin.port, supervisor)

    def test_refused(self) -> None:
        """The status is there for both."""
        for supervisor in ("http", "connect"):
            with self.subTest(supervisor=supervisor):
                port = self.origin().port

                answer = self.node(supervisor, REFUSED, port)

                self.assertEqual(403, answer["status"])
                if supervisor == "http":
                    self.assert_problem(answer["text"])
                self.assert_refused(port, supervisor)
