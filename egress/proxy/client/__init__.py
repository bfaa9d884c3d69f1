"""Client connections: accept, identification, TLS handshake, refusal."""
