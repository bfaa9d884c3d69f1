"""Tests of `egress.service.process`."""
