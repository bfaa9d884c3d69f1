"""Deadlines on the injected clock."""
