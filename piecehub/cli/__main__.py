"""`python -m piecehub.cli`: the command line where no script is installed."""

from piecehub.cli.main import main

main()
