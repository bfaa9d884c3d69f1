"""Tells twistd of `egress-proxy`."""

from twisted.application.service import ServiceMaker

egress_proxy = ServiceMaker(
    "egress",
    "egress.service.tap",
    "The way out for an AI agent's sandbox: a policy-enforcing forward proxy.",
    "egress-proxy",
)
