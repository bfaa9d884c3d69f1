"""What operators are told: metrics and health, on a listener of its own."""
