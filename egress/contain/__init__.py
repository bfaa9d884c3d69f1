"""Containment: commands whose only way out is the proxy, held by the kernel."""
