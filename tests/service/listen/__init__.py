"""Tests of `egress.service.listen`."""
