"""The way out for an AI agent's sandbox, and the only one."""
