"""rehearsal: what would happen to a client under a configuration, played through the core on a clock that leaps.

`visit` is what the client does; `play` lets it meet the core, with `mta` behind it, and `scene` keeps what happens; `given` has
facts that are told by hand; `keys` finds the keys of the configuration that decided; `steps` makes lines of it all, and
`conclusion` a sentence.
Nothing is sent to anybody, and nothing is decided here.
"""
