"""config: what the operator says: read, checked, explained, and compiled for the core."""
