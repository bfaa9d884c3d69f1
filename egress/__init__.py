"""A forward proxy that controls the outbound traffic of AI agents."""
