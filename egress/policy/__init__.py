"""The built-in policies, how verdicts combine, the guard, and the registry of plugins."""
