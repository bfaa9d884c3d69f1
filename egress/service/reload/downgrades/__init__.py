"""Downgrades: the ways in which a new configuration protects less than the active one.

What is not known is not claimed. Of a policy that does not describe itself a changed table is all that is seen, and
the contents of files that the configuration names are not compared.
"""

from egress.service.reload.downgrades.settings import find_downgrades

__all__ = ["find_downgrades"]
