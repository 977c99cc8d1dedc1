"""pages - the pages of docs/checks: one a check, and an index.

Promises  Everything is made from the declarations and the defaults, as `tarry config reference --checks DIR` writes it; a test
          compares it with what is in docs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tarry.checks import REGISTRY
from tarry.config.explanation import Explanation, changing, explain
from tarry.config.keys import CHECKS, Checks, keys_of
from tarry.config.render import cell, code, key_rows, own_keys
from tarry.config.schema import Config
from tarry.core.result import Action

INDEX = "index.md"

_HEADINGS = {"What": "What it looks for", "Why": "Why", "Mistaken": "Who is hurt by mistake", "Source": "Source", "Since": "Since"}
_INTRO = """\
# Checks

<!-- Made by `make docs`, as are the pages of this folder. To change one, change the docstring and the declaration of its check. -->

A check looks at one thing that a client does, or is, and finds a reason, or nothing. What follows from a reason is yours to say:
`action`, and `codes` for single reasons ([config.md](../config.md)). Whatever the action, the reason is recorded. A check that
raises or cannot tell is *unknown*, which refuses nobody. `tarry explain CHECK` prints a page with the values of your
configuration; checks of your own are written like these ([own-checks.md](../own-checks.md)).

| check | what it does | default | reasons |
|---|---|---|---|
"""


def pages(config: Config | None = None) -> Mapping[str, str]:
    """Return every page by its file's name. *config* has the checks; without one they are the built-in ones."""
    shown = config or Config()
    explained = [explain(shown, check.name) for check in shown.registry]
    return {INDEX: _index(explained), **{f"{one.name}.md": _page(one, shown.registry) for one in explained}}


def _index(explained: Iterable[Explanation]) -> str:
    rows = []
    for one in explained:
        default = next(str(key.kind.write(value)) for key, value in one.keys if key.last == "action")
        reasons = ", ".join(f"`{told.code}`" for told in one.reasons)
        rows.append(f"| [{one.name}]({one.name}.md) | {cell(_plain(one.title))} | {default} | {reasons} |")
    return _INTRO + "\n".join(rows) + "\n"


def _page(one: Explanation, checks: Checks = REGISTRY) -> str:
    return "\n".join(_lines(one, checks)) + "\n"


def _lines(one: Explanation, checks: Checks) -> Iterator[str]:
    yield f"# {one.name}"
    yield ""
    yield _plain(one.title)
    yield ""
    for heading, text in one.sections.items():
        yield f"**{_HEADINGS.get(heading, heading)}.** {_plain(text)}" if heading else _plain(text)
        yield ""
    yield "## Reasons"
    yield ""
    yield "| reason | meaning | by default | the client is told |"
    yield "|---|---|---|---|"
    for told in one.reasons:
        reply = code(told.reply) if told.reply else "nothing"
        leads_to = f"{told.action.word}: {told.effect}" if told.is_looked_for else told.effect
        yield f"| `{one.name}.{told.code}` | {cell(told.meaning)} | {cell(leads_to)} | {reply} |"
    yield ""
    if not any(told.action.refuses for told in one.reasons):
        yield f"With an action that refuses, the client is told: {one.complaint}."
        yield ""
    own = own_keys(keys_of(CHECKS + one.name, checks))
    yield "## Keys"
    yield ""
    if own:
        yield from key_rows(own)
    yield f"And those of every check: [config.md](../config.md#{CHECKS.replace('.', '')}name)."
    yield ""
    yield "## To change it"
    yield ""
    yield from ("```toml", *changing(one), "```")
    if len(one.reasons) > 1:
        first = next(told for told in one.reasons if told.is_looked_for)
        softer = Action.TAG if first.action is not Action.TAG else Action.IGNORE
        yield ""
        yield "For one of its reasons only:"
        yield ""
        yield from ("```toml", f"[{CHECKS}{one.name}]", f'codes = {{ {first.code} = "{softer.word}" }}', "```")
    yield ""
    yield "All checks: [index.md](index.md)."


def _plain(text: str) -> str:
    """Return a docstring's text as Markdown: its double backticks are single ones there, and what looks like a tag is none."""
    return text.replace("``", "`").replace("<", "&lt;")
