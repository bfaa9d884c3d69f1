"""Reload: compares a new configuration with the active configuration, and activates the new one."""
