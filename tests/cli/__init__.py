"""Tests of egress.cli."""
