"""The built-in policies, the SSRF guard, and the discovery and registry of policy plugins."""
