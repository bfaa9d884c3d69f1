"""What an operator says in a rule reaches the client that it refuses, and the audit log."""

from __future__ import annotations

import json

from egress.audit.encoder import LineEncoder
from egress.policy.audit_only import AuditOnly
from egress.policy.destinations import make_destinations
from tests.proxy.reload.test_reevaluation import ReevaluationCase

CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\r\n"
MESSAGE = "Ask in #platform for write access."
DENY = {"deny": [{"name": "never", "hosts": ["origin.example"], "message": MESSAGE}]}
NEAR = {"allow": [{"name": "reads", "hosts": ["origin.example"], "methods": ["GET"], "message": MESSAGE}]}


class RuleMessageTests(ReevaluationCase):
    """`message` of a rule."""

    def test_refused_connect(self) -> None:
        """A refused CONNECT has it in the reason phrase, in Proxy-Status and in the body; the audit log has it too."""
        for rules, code, rule in ((DENY, "denied", "never"), (NEAR, "no_rule", "reads")):
            self.setUp()
            self.renew(rules)

            client = self.said(CONNECT)

            problem = self.assert_refused(client, 403, code)
            self.assertEqual((rule, MESSAGE), (problem["rule"], problem["message"]))
            line, _, rest = client.received.partition(b"\r\n")
            self.assertTrue(line.endswith(b"(" + problem["request_id"].encode() + b"): " + MESSAGE.encode()), line)
            self.assertIn(f'details="{code}: {problem["reason"]} {MESSAGE}"\r\n'.encode(), rest)
            logged = json.loads(LineEncoder("first").encode(self.ends()[-1]))
            self.assertEqual(f"{problem['reason']} {MESSAGE}", logged["reason"])

    def test_others(self) -> None:
        """Who is refused by something else does not read it, nor does anybody read that of a policy in audit mode."""
        self.renew(DENY)
        self.assertNotIn(MESSAGE.encode(), self.said(CONNECT.replace(b"origin", b"other")).received)
        self.renew(policies=[AuditOnly(make_destinations("rules", DENY, self.host))])
        self.assertNotIn(MESSAGE.encode(), self.said(CONNECT).received)
