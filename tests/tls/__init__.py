"""Tests of egress.tls."""
