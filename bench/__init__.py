"""bench - tarry's own benchmark, with its peers in the same run.

What     `python -m bench hold|early|pass|mail|line|dns` starts each named server privately on a loopback port, drives it from a
         generator in another process, and prints one table and one JSON file.
Promise  Figures of one run come from one machine, one kernel and one generator; each stands next to a ratio against the
         first peer, because a ratio survives a noisy machine and a number does not. A peer whose program is missing is
         skipped by name, with the reason. All traffic stays on 127.0.0.0/8, every loop has a bound, and every process
         that was started is ended by its pid, also after an interrupt.
Not here Kernel memory (sockets), TLS, IPv6, real networks.
"""
