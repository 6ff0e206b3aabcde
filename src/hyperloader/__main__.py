"""`python -m hyperloader`."""

from hyperloader.cli import main

main()
