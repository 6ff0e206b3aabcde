"""`python -m hyperloader`."""

from hyperloader.cli.main import main

main()
