"""control: how a running server is asked about itself, over a Unix socket in JSON lines, and what it tells."""
