"""Tests of egress.identity."""
