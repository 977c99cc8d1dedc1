"""record: the event log as values: what is written, in what form, and how a session's records sum up."""
