"""Tells twistd of `egress-proxy`."""

from twisted.application.service import ServiceMaker

egress_proxy = ServiceMaker(
    "egress",
    "egress.service.tap",
    "A forward proxy that controls the outbound traffic of AI agents.",
    "egress-proxy",
)
