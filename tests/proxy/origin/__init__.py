"""Tests of `egress.proxy.origin`."""
