"""Tests of egress.service."""
