"""core: the decisions. Values in, values out; no socket, no clock, no randomness of its own."""
