"""`python -m droveway`."""

from droveway.cli import main

main()
