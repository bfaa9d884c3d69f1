"""HTTP/1.1: requests read from clients, exchanged with origins, and answered."""
