"""`python -m tracker` is the program `tracker`."""

from tracker.cli import main

main()
