"""Tests of egress.engine."""
