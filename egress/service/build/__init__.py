"""Builds a proxy from a configuration, for the start, a reload, `egress check` and `egress explain`.

`prepare` builds every part that can be built, and therefore can fail, without sockets. `activate` binds the sockets and
builds the parts that need the sockets' addresses.
"""
