"""CONNECT tunnels, from the request head to the end of the tunnel."""
