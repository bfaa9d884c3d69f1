"""Tests of `egress.transports`."""
