"""Tests of egress.policy."""
