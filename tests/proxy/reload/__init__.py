"""Tests of `egress.proxy.reload`."""
