"""Tests of `egress.service.reload.downgrades`."""
