"""`python -m piecehub`: the command line, where no script is installed or another Python is meant."""

from piecehub.cli.main import main

main()
