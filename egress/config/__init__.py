"""Configuration: TOML in, attrs classes out. Each package owns its settings class; this one reads and shapes.

The rules are strict, because a setting that is quietly ignored is a hole: unknown keys, wrong types and missing keys
are errors, nothing is converted from one type to another, and every error names its key path.
"""

from egress.config.bounds import between
from egress.config.document import read
from egress.config.path import join, prefix
from egress.config.shape import input_type, structure

__all__ = ["between", "input_type", "join", "prefix", "read", "structure"]
