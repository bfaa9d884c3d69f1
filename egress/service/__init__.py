"""The composition root: settings, sockets, the supervisor, and what `twistd egress-proxy` calls."""
