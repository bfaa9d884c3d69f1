"""Tests of egress.upstream."""
