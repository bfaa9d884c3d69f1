"""The proxy server: client connections, requests, tunnels and origin connections."""
