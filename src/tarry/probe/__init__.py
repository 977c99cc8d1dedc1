"""probe - play known client habits against a server of one's own.

What     `habits` says what each client does, as a list of `steps`; `play` does it over one connection and returns a Trace;
         `verdict` looks at the traces and says what each client got; `target` says where to, and knows strangers;
         `caller` plays a habit without a network.
Promises Each habit has its own connection and touches nothing but that. Nothing here prints.
Not      A load generator (bench/ is) and no scanner: a public address needs the user's word that it is theirs.
Since    0.1
"""
