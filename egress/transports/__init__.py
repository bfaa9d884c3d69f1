"""Stream transports with one contract: the epoll engine's, Twisted's TCP and unix sockets, and TLS."""
