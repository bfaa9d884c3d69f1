"""Tests of egress.transports.engine."""
