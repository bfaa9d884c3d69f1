"""Configuration: reads TOML and structures tables as attrs classes. Each package owns its settings classes.

The rules are strict, because a silently ignored setting weakens protection: unknown keys, wrong types and missing keys
are errors, no value is converted to another type, and every error names its key path.
"""

from egress.config.bounds import between
from egress.config.document import read
from egress.config.path import join, prefix
from egress.config.shape import input_type, structure

__all__ = ["between", "input_type", "join", "prefix", "read", "structure"]
