"""Tests of `egress.timing`."""
