"""Tests of egress.api."""
