"""The kernel's words for what happens to a socket (epoll_ctl(2)).

They are the same on every Linux. Where there is no epoll they are never used, but the modules that name them can be
imported there.
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

# The end of input is near, or urgent data, where each read stops: a short one does not mean that nothing is left.
LAST = READ_HANGUP | HANGUP | ERROR | URGENT

READABLE = READ | LAST
GONE = HANGUP | ERROR
