"""cli - the command line."""
