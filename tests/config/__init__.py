"""Tests of egress.config."""
