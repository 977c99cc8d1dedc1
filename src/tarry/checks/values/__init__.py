"""values - kinds of values that the keys of several checks hold. A check may import these, and no other check."""
