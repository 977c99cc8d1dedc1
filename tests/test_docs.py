"""The pages say what is so: links lead somewhere, code runs, commands and keys exist, and lists are complete."""

from __future__ import annotations

import ast
import asyncio
import re
import shlex
import shutil
import socket
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from tarry.checks import REGISTRY
from tarry.cli import cli
from tarry.config.keys import groups, keys, manual
from tarry.config.load import load, preset_text
from tarry.config.schema import PRESETS
from tarry.core import replies
from tarry.core.admission import REFUSALS
from tarry.net import listener
from tarry.record import schema
from tarry.record.journal import Journal
from tarry.smtp.reply import Reply
from tests import explain_page, preset_pages, records_page

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
PAGE = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def spans(text: str) -> list[str]:
    """Return what stands in single backticks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


# Links, addresses and paths.


@every_page
def test_relative_links_lead_to_files(page: Path) -> None:
    """A link to a file of the project names one that is there."""
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert [] == missing


@every_page
def test_no_page_names_a_machine(page: Path) -> None:
    """No path of the machine it was written on, and no host but those of examples."""
    text = page.read_text(encoding="utf-8")
    assert [] == re.findall(r"(?:/work|/root|/tmp|/home)/\S+", text)
    assert [] == re.findall(r"\b(?:https?|git)://\S+|\b\S*(?:index-url|artifactory|nexus)\S*", text)


# Code.


EMBEDDED = [(name, block) for name in ("README.md", "embedding.md", "own-checks.md") for block in blocks(PAGE[name], "python")]


def told_to_print(block: str) -> list[str]:
    """Return, for each print of a block, the value that a comment beside or below it gives, "" for none."""
    lines = block.splitlines()
    prints = [node.lineno - 1 for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Name) and node.id == "print"]
    told = []
    for number in sorted(prints):
        beside = lines[number].partition("  # ")[2].strip()
        below = lines[number + 1] if number + 1 < len(lines) and lines[number + 1].startswith("# ") else ""
        told.append(beside or below.removeprefix("# "))
    return told


def pattern_of(told: str) -> str:
    """Return a told value as a pattern: what follows a colon explains it, "..." leaves out, and a port may be any other."""
    explained = re.match(r"(\[.*\]|None|True): ", told)
    value = (explained[1] if explained else told).replace('"', "'")
    return re.sub(r"\d{5}", r"\\d+", re.escape(value).replace(r"\.\.\.", ".*"))


@pytest.mark.parametrize(("page", "block"), EMBEDDED, ids=[f"{page}-{at}" for at, (page, _) in enumerate(EMBEDDED, 1)])
def test_python_blocks_run(
    page: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every block runs as it stands and prints what its comments say.

    Two things are not as on the page: a sleep of the block's own lasts 50 ms at most, and a server takes a free port in place
    of the one it names.
    """
    sleep = asyncio.sleep

    def short_sleep(delay: float, result: Any = None) -> Any:
        is_ours = sys._getframe(1).f_code.co_filename == page
        return sleep(min(delay, 0.05) if is_ours else delay, result)

    def open_free(host: str, port: int) -> socket.socket:
        return open_socket(host, 0)

    open_socket = listener.open_socket
    monkeypatch.setattr("asyncio.sleep", short_sleep)
    monkeypatch.setattr("tarry.sockets.open_socket", open_free)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_files(PAGE[page], tmp_path)
    write_log(tmp_path / "tarry.jsonl")

    exec(compile(block, page, "exec"), {"__name__": "__main__"})  # noqa: S102

    printed = capsys.readouterr().out.splitlines()
    told = told_to_print(block)
    assert len(told) == len(printed)
    for expected, actual in zip(told, printed, strict=True):
        assert re.fullmatch(pattern_of(expected) if expected else ".*", actual), (expected, actual)


def write_files(text: str, folder: Path) -> None:
    """Write the Python blocks of a page that begin with the name of a file."""
    for block in blocks(text, "python"):
        if named := re.match(r"# (\w+\.py)\n", block):
            (folder / named[1]).write_text(block)


def write_log(path: Path) -> None:
    """Write a log as `tarry serve` does: records of the daemon, then sessions."""
    lines = [schema.write_process_line(schema.Stress("mta", False), t=0.0)]
    lines.append(schema.write_process_line(schema.Start("0.1.0", ("127.0.0.1:25",), 1), t=0.0))
    for number in ("A-1", "A-2"):
        journal = Journal(number, accepted_at=0.0, accepted_wall=1.0, write=lines.append)
        journal.emit(schema.Connect("192.0.2.7", 40000, "127.0.0.1:25", 4.0), 0.0)
        journal.emit(schema.Readable("hold", 8, "EHLO x\\r\\n"), 0.3)
        journal.emit(schema.Reason("pregreet", "spoke", "hold", "EHLO x\\r\\n", 0.0, "reject"), 0.3)
        journal.emit(schema.Verdict("hold", "reject", ("pregreet.spoke",)), 0.3)
        journal.emit(schema.Reply(554, "5.7.1 You spoke before the greeting", "connect"), 0.3)
        journal.close(0.3)
    path.write_bytes(b"".join(lines))


@every_page
def test_toml_blocks_load(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every configuration on a page is one without a problem; only that nobody is announced may be warned of, and what the page
    of a preset says."""
    text = page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    write_files(text, tmp_path)
    for block in blocks(text, "toml"):
        loaded = load(None, text=block)
        told = {problem.where for problem in loaded.warnings}
        assert () == loaded.errors
        announced = {"handoff.announce"} if 'announce = "none"' in block and 'mode = "proxy"' in block else set()
        assert announced <= told <= announced | set(preset_pages.warnings(text))


# Command lines.


def command_lines(text: str) -> list[str]:
    """Return the tarry commands of code blocks and of backticks, one for each way to read `a|b` and `[-c FILE]`."""
    shown = re.findall(r"^(?: {4}|\w+=)(?:\S*/)?(tarry [^\n]+)$", text, re.MULTILINE)
    inline = [span for span in spans(text) if re.match(r"tarry [a-z-]", span)]
    found = []
    for line in (*shown, *inline):
        plain = re.split(r"\s{2,}| > | #", line.replace("[", "").replace("]", ""))[0]
        found += [" ".join(words) for words in product(*(word.split("|") for word in plain.split()))]
    return found


def complaint(line: str) -> str:
    """Return what is wrong with a command line, "" for nothing."""
    context = click.Context(cli, **cli.context_settings)  # click keeps the help option that it makes first
    command: click.Command = cli
    words = shlex.split(line)[1:]
    while words:
        word = words.pop(0)
        if word == "--":
            words = words[:1]  # what follows is a command of somebody else
        elif word.startswith("-") and word != "-":
            options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
            option = next((one for one in options if word in one.opts), None)
            if option is None:
                return f"{word} is no option of {command.name}"
            if not (option.is_flag or option.count) and option.expose_value:
                words = words[1:]
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None:
                return f"{word} is no verb of {command.name}"
            command = found
        elif not any(isinstance(one, click.Argument) for one in command.get_params(context)):
            return f"{command.name} takes no {word}"
    return ""


@every_page
def test_commands_exist(page: Path) -> None:
    """Every tarry command on a page has verbs and options that there are."""
    lines = command_lines(page.read_text(encoding="utf-8"))
    assert {} == {line: what for line in lines if (what := complaint(line))}


def test_the_readme_shows_commands() -> None:
    """The search finds the commands: those of the first try, of the set-up, and of the list."""
    found = set(command_lines(PAGE["README.md"]))
    expected = {"tarry probe 127.0.0.1:2525", "tarry serve -c tarry.toml --observe", "tarry config schema", "tarry config init"}
    assert set() == expected - found
    assert "--obsreve is no option of serve" == complaint("tarry serve --obsreve")


# Keys and names.

CHECKS = {check.name: check for check in REGISTRY}
REASONS = {f"{check.name}.{code}" for check in REGISTRY for code in check.codes}
GROUPS = {name.partition(".")[0] for name in groups() if name} | {name.removeprefix("checks.") for name in groups()}


def is_key(name: str) -> bool:
    """True for a key or a table, with NAME for any check."""
    name = name.replace("NAME", "pregreet")
    return name in keys() or name in groups()


@every_page
def test_keys_exist(page: Path) -> None:
    """What looks like a key or a reason in backticks is one, and a value that is given with it is allowed."""
    wrong = []
    for span in spans(page.read_text(encoding="utf-8")):
        found = re.fullmatch(r"([a-z_]+(?:\.[A-Za-z_]+)+)( = .+)?", span)
        if found is None or found[1].partition(".")[0] not in GROUPS or found[1].endswith((".md", ".py", ".toml")):
            continue
        is_known = is_key(found[1]) or found[1] in REASONS
        if not is_known or (found[2] and load(None, text=span.replace("NAME", "pregreet")).errors):
            wrong.append(span)
    assert [] == wrong


@every_page
def test_tables_exist(page: Path) -> None:
    """A table in brackets and backticks is one."""
    named = [span[1:-1] for span in spans(page.read_text(encoding="utf-8")) if re.fullmatch(r"\[[a-z_.]+\]", span)]
    assert [] == [name for name in named if not is_key(name)]


# Lists that must be complete.


def test_presets_have_their_pages() -> None:
    """Each preset has a row of the table and a page of its own, and no other; the table of what they do stands beside them."""
    rows = re.findall(r"^\| \[`([a-z0-9-]+)`\]\(presets/\1\.md\) \|", PAGE["presets.md"], re.MULTILINE)
    pages = [page.stem for page in PAGES if page.parent == preset_pages.FOLDER]
    assert sorted(PRESETS) == sorted(rows)
    assert sorted([*PRESETS, "table"]) == sorted(pages)


@pytest.mark.parametrize("name", PRESETS)
def test_the_page_of_a_preset_is_whole_and_current(name: str) -> None:
    """It has the parts of all, and shows the file. If this fails: .venv/bin/python -m tests.preset_pages"""
    page = PAGE[f"{name}.md"]
    assert preset_pages.with_file(page, name) == page
    assert preset_text(name) in blocks(page, "toml")
    sections = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert ["What differs", "Change today", "Evidence", "Warnings"] == sections[-4:]
    assert [("Why" if name == "tarry" else "Then"), "Here"] == sections[:2]


def section(page: str, name: str) -> str:
    """Return the text below a heading, up to the next."""
    return PAGE[page].partition(f"## {name}\n")[2].partition("\n## ")[0]


FROM_A_SESSION = (replies.unavailable, *(say for say in REFUSALS.values() if say is not replies.denied))


def test_every_421_is_explained() -> None:
    """Each 421 that tarry says of itself stands in the table of docs/operate.md."""
    table = section("operate.md", "What each 421 means")
    own = [one for one in vars(replies).values() if isinstance(one, Reply) and one.code == 421]
    said = [one.raw.decode().strip() for one in (*own, *(say("id") for say in FROM_A_SESSION))]
    assert len(said) > 5
    source = (ROOT / "src" / "tarry" / "net" / "session.py").read_text(encoding="utf-8")
    said += re.findall(r'b"(421 [^\\]+)\\r', source)
    assert [] == [one for one in said if f"`{one}`" not in table]


def test_every_reason_has_a_remedy() -> None:
    """docs/operate.md tells for each reason which key mends it, or the manual page of its check does, under Mistaken."""
    table = section("operate.md", "When a good sender complains")
    assert "under [checks.CHECK] and *Mistaken* in [config.md]" in table
    untold = {reason.partition(".")[0] for reason in REASONS if f"`{reason}`" not in table}
    mistaken = {name: manual(CHECKS[name]).partition("\nMistaken ")[2].partition("\nSource ")[0] for name in untold}
    assert [] == sorted(
        name for name in untold if not any(is_key(word) for word in re.findall(r"checks\.[a-z_.]+\w", mistaken[name]))
    )


def test_every_promise_is_linked_and_can_be_run() -> None:
    """docs/reliability.md links each test of a promise, and its commands name files that are there."""
    text = PAGE["reliability.md"]
    files = sorted(path.name for path in (ROOT / "tests" / "e2e").glob("test_promise_*.py"))
    assert [] == [name for name in files if f"](../tests/e2e/{name})" not in text]
    commands = re.findall(r"^    \.venv/bin/python -m pytest (.+)$", text, re.MULTILINE)
    assert len(commands) > 10
    named = [word for line in commands for word in line.split() if word.startswith("tests")]
    assert [] == [word for word in named if not list(ROOT.glob(word))]


def test_what_the_filter_cannot_do_is_told() -> None:
    """docs/reliability.md has a row for each reading of the CANNOT table (Python's two ways to split lines share one)."""
    from tests.smtp.test_body import CANNOT

    rows = re.findall(r"^\| (?!an MTA|---)[^|]+\|[^|]+\|$", section("reliability.md", "What tarry cannot protect against"), re.M)
    assert len(CANNOT) - 1 == len(rows)


def test_the_page_of_explanations_is_current() -> None:
    """It shows what its commands print. If this fails: .venv/bin/python -m tests.explain_page"""
    assert explain_page.with_made(PAGE["explain.md"]) == PAGE["explain.md"]


# The event log.


def test_the_page_of_records_is_current() -> None:
    """If this fails: .venv/bin/python -m tests.records_page"""
    assert PAGE["records.md"] == records_page.with_made(PAGE["records.md"])


def test_every_field_has_a_meaning() -> None:
    """The list of fields is the schema's, event for event and field for field."""
    expected = {
        records_page.name_of(event): [field.name for field in msgspec.structs.fields(event)] for event in records_page.events()
    }
    assert expected == {name: list(fields) for name, fields in records_page.FIELDS.items()}


def test_examples_of_records_are_records() -> None:
    """Each example line of the page can be read, and there is one for each event."""
    lines = [line for block in blocks(PAGE["records.md"], "json") for line in block.splitlines()]
    read = [records_page.name_of(type(schema.read_line(line).event)) for line in lines]
    assert [records_page.name_of(event) for event in records_page.events()] == read


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed: apt-get install jq")
@pytest.mark.parametrize("page", ["records.md", "operate.md", "zmailer-1997.md"])
def test_jq_commands_run(page: str, tmp_path: Path) -> None:
    """Each jq command runs, and those that are about early talk find the two early talkers of a small log."""
    log = tmp_path / "LOG"
    write_log(log)
    commands = [line.strip() for line in PAGE[page].splitlines() if line.strip().startswith("jq ")]
    assert commands
    for command in commands:
        ran = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ("", 0) == (ran.stderr, ran.returncode), command
        if ".early != null" in command:
            assert 2 == len(ran.stdout.splitlines())
