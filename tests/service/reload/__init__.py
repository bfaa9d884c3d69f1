"""Tests of `egress.service.reload`."""
