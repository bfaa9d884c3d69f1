"""Listeners: endpoints, sockets, TLS, socket activation."""
