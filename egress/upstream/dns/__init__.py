"""A client of DNS: asks name servers for the addresses of names, with sockets and deadlines of its own."""
