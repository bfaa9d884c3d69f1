"""Tests of `egress.proxy.http1`."""
