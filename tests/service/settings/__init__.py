"""Tests of `egress.service.settings`."""
