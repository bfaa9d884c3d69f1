"""Downgrades: the ways in which a new configuration protects less than the active one.

Only known downgrades are reported. For a policy without a description only a change of its table is reported. The
contents of files that the configuration names are not compared.
"""

from egress.service.reload.downgrades.settings import find_downgrades

__all__ = ["find_downgrades"]
