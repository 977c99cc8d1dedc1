"""dns: questions about clients, asked of name servers. Everything here answers what the core asks; nothing here decides.

`desk` takes questions and gives answers; `channel` is the one file that knows pycares; `lookup` says what a question takes in
queries and how their replies add up; `names` says what may stand in a query and what may be believed of a reply; `zones` tests the
DNS lists themselves; `domains` finds the organisational domain of a name.
"""
