"""Tests of egress.audit."""
