"""Stream transports: the epoll engine, and Twisted's TCP and TLS."""
