"""smtp: the grammar and framing of RFC 5321 as bytes and values; no I/O, nothing about screening."""
