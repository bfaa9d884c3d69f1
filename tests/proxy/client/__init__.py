"""Tests of `egress.proxy.client`."""
