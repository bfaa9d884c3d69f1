"""The log at the start."""

from __future__ import annotations

from tests.service.test_supervisor import SupervisorCase


class StartReportTests(SupervisorCase):
    """The start message, and its warnings."""

    def test_says_what_it_serves(self) -> None:
        """The start message names the listeners, the audit log and what is allowed."""
        supervisor = self.make("example.com")
        said = "\n".join(self.start(supervisor))
        self.stop(supervisor)

        self.assertIn("listener agents: 127.0.0.1:3128", said)
        self.assertIn("/audit.jsonl", said)
        self.assertIn("1 policy, 1 rule, guard on", said)
        self.assertNotIn("nothing is allowed", said)
        self.assertNotIn("other machines", said)

    def test_says_what_to_do_next(self) -> None:
        """Where nothing is allowed the start message says how to allow something."""
        supervisor = self.make()
        said = "\n".join(self.start(supervisor))
        self.stop(supervisor)

        self.assertIn("nothing is allowed", said)
        self.assertIn("--allow HOST", said)

    def test_warns_of_an_open_listener(self) -> None:
        """A listener that other machines can reach is warned of."""
        supervisor = self.make(own=("0.0.0.0", 3128))
        said = "\n".join(self.start(supervisor))
        self.stop(supervisor)

        self.assertIn("listener agents can be reached by other machines", said)
