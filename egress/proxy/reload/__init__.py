"""Requests in progress when a new configuration takes effect."""
