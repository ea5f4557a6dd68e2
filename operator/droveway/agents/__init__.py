"""What each agent CLI speaks: its command line and environment, and its stream. Standard library only."""
