"""generators - the load, each kind in a process of its own, so that its work is never counted as the server's.

Each module is run as `python -m bench.generators.NAME ORDER`, ORDER being a JSON object. It prints `ready`, waits for a
line on standard input, works, prints further marks where its docstring says so, and ends with one JSON object.
Bare non-blocking sockets on one epoll; a client costs a few microseconds of Python.
"""
