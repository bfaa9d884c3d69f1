"""A soak: good clients beside misbehaving clients and origins, while configurations and log files change.

`bench/soak.py` runs it for thirty minutes, `tests/live/test_soak.py` for less than a minute.
"""
