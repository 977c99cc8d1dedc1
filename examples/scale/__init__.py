"""scale - how big must a front door be? A model that others can run and change; docs/scale.md is written from it.

What     simulate.py tells, hour by hour, what a number of connections a day asks of hosts, workers, DNS, the shared memory, the
         log and the MTA, and which of them is at its limit first. reality.py plays the same clients against a tarry on this
         machine, and compares.
Files    parameters.py: every number, with its unit and source. times.py: how long clients talk, wait and stay. crowd.py: how often
         a client comes again. day.py: when they come. fluid.py: the plan, by formulas. events.py: the same clients one by one.
         limits.py: what is at its limit first. tables.py: what is printed. load.py: the clients of reality.py.
Needs    The standard library of Python 3.11; reality.py needs tarry as well. Considered and not taken: simpy, whose processes
         cost ten times what a heap of plain tuples does, with a million sessions to play.
"""
