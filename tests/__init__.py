"""The tests; they mirror egress/."""
