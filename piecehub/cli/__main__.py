"""`python -m piecehub.cli`: what `python -m piecehub` is."""

from piecehub.cli.main import main

main()
