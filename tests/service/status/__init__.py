"""Tests of `egress.service.status`."""
