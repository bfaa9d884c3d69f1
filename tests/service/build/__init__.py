"""Tests of egress.service.build."""
