"""Tests of egress.testing."""
