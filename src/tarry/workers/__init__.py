"""workers: several processes share the work, and one process keeps them.

What      `supervisor` opens the sockets, forks the workers and replaces those that die; `worker` is what each of them does;
          `channel` is what the two say to each other; `takeover` starts a new version that takes the sockets over; `privileges`
          gives root up.
Promises  A socket and the clients in its backlog outlive every worker. With one worker there is no supervisor.
"""
