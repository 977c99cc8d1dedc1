"""postfix_tables - postscreen_access_list, mynetworks and small tables, with the files that they name.

What      `AccessList` follows an access list as postscreen does: commands, permit_mynetworks and tables (cidr, inline, static,
          and the source text of hash, btree, lmdb, texthash), and gives ordered rules. `pairs` reads a table of keys and values.
Promises  Nothing but TooLong is raised. What cannot be followed (a file that is not there, pcre, mysql) is `Missing`.
Not here  What the rules become: postfix.py.
Source    postconf(5) postscreen_access_list and mynetworks, cidr_table(5), DATABASE_README.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tarry.config.imports.found import Found, ImportProblem, ReadFile, Source
from tarry.config.imports.networks import Network, Rule, read_network
from tarry.config.imports.postfix_files import logical_lines, unbraced, words

PERMIT, REJECT, DUNNO = "permit", "reject", "dunno"
_EVERYONE = ("0.0.0.0/0", "::/0")
_BY_KEY = frozenset({"hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "texthash"})
_BY_HAND = "put the addresses into exempt.networks or deny.networks by hand"


class AccessList:
    """The rules of one list. *mynetworks* are the words of that parameter, None where they are not known."""

    def __init__(self, found: Found, read: ReadFile, mynetworks: Sequence[tuple[str, Source]] | None) -> None:
        self.found = found
        self.read = read
        self.mynetworks = mynetworks
        self.rules: list[Rule] = []
        self.without_word: dict[str, list[Source]] = {}
        """Lines that say dunno, by file."""

    def follow(self, listed: Iterable[tuple[str, Source]]) -> None:
        """Read the words of the list itself; a bare verdict ends it."""
        for word, source in listed:
            if self._command(word.lower(), _EVERYONE, source):
                if word.lower() in (PERMIT, REJECT, DUNNO):
                    return
            elif ":" in word:
                self._table(word, source)
            else:
                self.found.miss(source, word, "this is no command of an access list", "postscreen ignores it too")

    def _command(self, word: str, networks: tuple[str, ...], source: Source) -> bool:
        """Take one command for some networks; False for what is none."""
        if word == "permit_mynetworks":
            self._permit_mynetworks(source)
        elif word in (PERMIT, REJECT, DUNNO):
            self.rules += [Rule(read_network(one), word, source) for one in networks]
        else:
            return False
        return True

    def _permit_mynetworks(self, source: Source) -> None:
        if self.mynetworks is None:
            for one in ("127.0.0.0/8", "::1/128"):
                self.rules.append(Rule(read_network(one), PERMIT, Source(source.file, source.line, f"{source.name}: this host")))
            what = "which networks mynetworks stands for is not in the file, and Postfix works it out on its host"
            self.found.miss(source, "permit_mynetworks", what, "ask `postconf mynetworks` and add them to exempt.networks")
            return
        for word, where in self.mynetworks:
            self._mynetwork(word, where)

    def _mynetwork(self, word: str, source: Source, depth: int = 0) -> None:
        negated = word.startswith("!")
        word = word.lstrip("!")
        try:
            self.rules.append(Rule(read_network(word), DUNNO if negated else PERMIT, source))
            return
        except ValueError:
            pass
        if word.startswith("/") and depth < 3 and not negated:
            text = self._text(word, source)
            for number, line in logical_lines(text or ""):
                for inner in words(line):
                    self._mynetwork(inner, Source(word, number, source.name), depth + 1)
        elif ":" in word and not negated:
            kind, _, name = _kind(word)
            for key, _value, where in self._entries(kind, name, source, word):
                self._rule(key, PERMIT, where)
        else:
            self.found.miss(source, word, "this names no addresses", "add them to exempt.networks")

    def _table(self, word: str, source: Source) -> None:
        kind, _, name = _kind(word)
        if kind == "static":
            self._result(unbraced(name), _EVERYONE, source)
            return
        for key, value, where in self._entries(kind, name, source, word):
            self._result(value, (key,), where)

    def _result(self, value: str, keys: tuple[str, ...], source: Source) -> None:
        """Take a table's answer, which is an access list of its own without tables: its first command counts."""
        command = (words(value.lower()) or [""])[0]
        if command not in (PERMIT, REJECT, DUNNO):
            self.found.miss(source, value or " ".join(keys), f'"{command}" is no answer that has a counterpart', _BY_HAND)
            return
        for key in keys:
            self._rule(key, command, source)

    def _rule(self, key: str, verdict: str, source: Source) -> None:
        try:
            network: Network = read_network(key)
        except ValueError:
            self.found.miss(source, key, "this is no address or network", "postscreen looks up addresses only")
            return
        self.rules.append(Rule(network, verdict, source))
        if verdict == DUNNO:
            self.without_word.setdefault(source.file, []).append(source)

    def _entries(self, kind: str, name: str, source: Source, word: str) -> Iterator[tuple[str, str, Source]]:
        if kind == "cidr":
            yield from self._cidr(name, source)
        elif kind in ("inline", *_BY_KEY):
            found = pairs(kind, name, source, self.read)
            if isinstance(found, str):
                self.found.miss(source, word, found, _BY_HAND)
            else:
                yield from found
        else:
            why = f"a table of type {kind} cannot be read here"
            instead = "write its patterns as exempt.patterns" if kind in ("pcre", "regexp") else _BY_HAND
            self.found.miss(source, word, why, instead)

    def _cidr(self, name: str, source: Source) -> Iterator[tuple[str, str, Source]]:
        if name.startswith("{"):
            lines = [(source, unbraced(one)) for one in words(unbraced(name))]
        else:
            text = self._text(name, source)
            lines = [(Source(name, number, ""), line) for number, line in logical_lines(text or "")]
        depth = 0
        for where, line in lines:
            key, value = (*line.split(None, 1), "", "")[:2]
            opens, closes = key.lower() == "if", key.lower() == "endif"
            depth += opens - closes
            if opens or (key.startswith("!") and depth == 0):
                why = "conditions in a cidr table have no counterpart" + (", nor have the lines inside" if opens else "")
                self.found.miss(where, line, why, _BY_HAND)
            elif not depth and not closes:
                yield key, value, where

    def _text(self, name: str, source: Source) -> str | None:
        try:
            return self.read(name)
        except OSError as fault:
            self.found.miss(source, name, f"the file cannot be read: {fault.strerror or fault}", _BY_HAND)
        except ImportProblem as problem:
            self.found.miss(source, name, problem.what, _BY_HAND)
        return None


def _kind(word: str) -> tuple[str, str, str]:
    """Return the type and the name of a table; proxy: only says which process reads it."""
    kind, colon, name = word.partition(":")
    if kind == "proxy":
        kind, colon, name = name.partition(":")
    return kind.lower(), colon, name


def pairs(kind: str, name: str, source: Source, read: ReadFile) -> list[tuple[str, str, Source]] | str:
    """Return keys and values of a table with their places, or why it cannot be read."""
    if kind == "inline":
        found = []
        for one in words(unbraced(name)):
            key, equals, value = unbraced(one).partition("=")
            if equals:
                found.append((key.strip(), value.strip(), source))
        return found
    try:
        text = read(name)
    except OSError as fault:
        return f"the file cannot be read: {fault.strerror or fault}"
    except ImportProblem as problem:
        return problem.what
    made = []
    for number, line in logical_lines(text):
        key, *rest = line.split(None, 1)
        made.append((key, rest[0].strip() if rest else "", Source(name, number, "")))
    return made
