"""Tests of egress.match."""
