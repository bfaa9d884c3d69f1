"""The choke point: every request is judged here, and nowhere else."""
