"""Tests of egress.wire."""
