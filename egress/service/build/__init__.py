"""The recipe by which a configuration becomes a proxy, for the start, a reload, `egress check` and `egress explain`.

`prepare` builds all that can be built, and so can fail, without sockets. `activate` binds the sockets and builds what
needs their addresses.
"""
