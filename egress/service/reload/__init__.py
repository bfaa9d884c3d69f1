"""Reload: compares a new configuration with the active one, and makes it active."""
