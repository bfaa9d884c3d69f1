"""`python -I -m egress.cli` is the command in isolated mode: nothing of the working directory is imported."""

from egress.cli import main

main(prog_name="egress")
