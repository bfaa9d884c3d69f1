"""Tests of `egress.gate`."""
