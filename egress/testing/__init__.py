"""Public fakes, for the tests of egress and of third-party policies.

The in-memory network is in `egress.testing.network`.
"""

from egress.testing.host import FakeHost, FakeResolver
from egress.testing.policies import PUBLIC_ADDRESS, FixedPolicy, PolicyHarness
from egress.testing.requests import make_authority, make_client, make_request, resolve_to

__all__ = [
    "PUBLIC_ADDRESS",
    "FakeHost",
    "FakeResolver",
    "FixedPolicy",
    "PolicyHarness",
    "make_authority",
    "make_client",
    "make_request",
    "resolve_to",
]
