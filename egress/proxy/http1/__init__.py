"""HTTP/1.1: the client's side and the origin's side of exchanges."""
