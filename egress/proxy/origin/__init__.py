"""Origin connections, and the pool of idle ones."""
