"""Tests of egress.proxy."""
