"""The composition root: settings, sockets, the supervisor, and the entry point of `twistd egress-proxy`."""
