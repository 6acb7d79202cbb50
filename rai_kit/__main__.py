"""`python -m rai_kit` is the command line."""

from rai_kit.cli import main

main()
