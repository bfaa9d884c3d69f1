"""Tests of `egress.proxy.tunnel`."""
