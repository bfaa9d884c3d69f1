"""Reload: a new configuration compared with the active one, and put in its place."""
