"""`python -m bertx` is `bertx`."""

from .cli import main

main()
