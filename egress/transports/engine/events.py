"""Event bits of epoll (epoll_ctl(2)).

The numbers are equal on every Linux. They are defined here because `select` has no such names on a system without
epoll, where modules that use them must still be importable.
"""

from __future__ import annotations

READ = 0x001
URGENT = 0x002
WRITE = 0x004
ERROR = 0x008
HANGUP = 0x010
READ_HANGUP = 0x2000
EDGES = 1 << 31

ALL_EDGES = READ | URGENT | WRITE | READ_HANGUP | EDGES

# The end of input may be near, or urgent data, at which a read stops: a short read does not mean an empty socket.
LAST = READ_HANGUP | HANGUP | ERROR | URGENT

READABLE = READ | LAST
GONE = HANGUP | ERROR
