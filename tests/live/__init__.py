"""What can be called by hand: real sockets, real clients, real servers."""
