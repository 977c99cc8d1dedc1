"""Loading: layers, origins, and every problem at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.keys import flat, groups, keys
from tarry.config.load import SIZE_LIMIT, Loaded, load
from tarry.config.origin import Origin, Severity
from tarry.config.schema import Config
from tarry.core.client import Endpoint
from tarry.core.policy import Span
from tarry.core.result import Action
from tests.config.own import SOURCE, Greeter

FILE = Path("t.toml")


def told(text: str, flags: Mapping[str, object] | None = None) -> list[str]:
    """Return the problems of a text, as they are printed."""
    return [str(problem) for problem in load(FILE, text=text, flags=flags or {}).problems]


def test_nothing_is_the_default() -> None:
    """Without a file all values are defaults, and that is a working configuration."""
    loaded = load(None)
    assert (Config(), ()) == (loaded.config, loaded.problems)
    assert {"default"} == {str(origin) for origin in loaded.origins.values()}
    assert list(keys()) == list(loaded.origins)


def test_the_sample_of_the_design_loads() -> None:
    """The sample of DESIGN section 6 has no problems and is the defaults.

    It names a DNS list, and sets limits.backend and not limits.message, which follows.
    """
    loaded = load(Path(__file__).parent / "design.toml")
    assert () == loaded.problems
    values, defaults = flat(loaded.config), flat(Config())
    assert {"limits.message", "checks.dnslists.zones"} == {name for name in values if values[name] != defaults[name]}
    assert ("zen.spamhaus.org", 30.0) == (values["checks.dnslists.zones"][0].zone, values["limits.message"])


def test_five_mistakes_are_all_told() -> None:
    """Five different mistakes in one file are told at once, each with its line and remedy."""
    text = """\
[listen]
smtp = ["127.0.0.1"]
[hold]
wiat = "3s"
wait = 6
target = "60s"
[exempt]
networks = [
  "10.0.0.0/8",
  "192.168.1.7/24",
]
[handoff]
mode = prox
"""
    assert [
        't.toml:2: error: listen.smtp: "127.0.0.1" has no port; write "127.0.0.1:25"',
        "t.toml:4: error: hold.wiat: no such key; did you mean hold.wait?",
        't.toml:5: error: hold.wait: 6 has no unit; write "6s" for seconds',
        "t.toml:6: error: hold.target: no such key here; target belongs to [delay]: put it below that heading",
        't.toml:10: error: exempt.networks: "192.168.1.7/24" has bits set right of its prefix; '
        'write "192.168.1.0/24" for the network, or "192.168.1.7" for the one host',
        't.toml:13:8: error: invalid value; put text and durations into quotes: mode = "prox"',
    ] == told(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[hold]\nend-early = true", "2: error: hold.end-early: no such key; did you mean hold.end_early?"),
        (
            "[hold]\nxyzzy = 1",
            "2: error: hold.xyzzy: no such key; the keys of [hold]: wait, teaser, data_wait, end_early and class",
        ),
        ("[deny]\nxyzzy = 1", "2: error: deny.xyzzy: no such key; the keys of [deny]: networks and files"),
        ('wait = "3s"', "1: error: wait: no such key here; wait belongs to [hold] or [stress]: put it below that heading"),
        ('wiat = "3s"', "1: error: wiat: no such key at the top of the file; did you mean hold.wait?"),
        ('prset = "tarry"', "1: error: prset: no such key; did you mean preset?"),
        (
            "[hold]\npreset = 1",
            "2: error: hold.preset: no such key here; preset belongs to the top of the file: put it below that heading",
        ),
        (
            '[hold]\naction = "tag"',
            "2: error: hold.action: no such key here; action belongs to each [checks.NAME]: put it below that heading",
        ),
        (
            "[hold]\nlimit = 3",
            "2: error: hold.limit: no such key here; limit belongs to [checks.many_errors]",
        ),
        (
            '[tarpit]\nstep = "3s"',
            "2: error: tarpit.step: no such key here; "
            "step belongs to [tarpit.rcpt], [tarpit.rset] or [tarpit.noop]: put it below that heading",
        ),
        ("[holds]\nwait = 3", "1: error: holds: there is no such table; did you mean [hold]?"),
        ("[rcpt]\nfree = 3", "1: error: rcpt: there is no such table; did you mean [tarpit.rcpt]?"),
        ("[tarpit.rctp]\nfree = 3", "1: error: tarpit.rctp: there is no such table; did you mean [tarpit.rcpt]?"),
        ("[checks.pregret]\nat = 3", "1: error: checks.pregret: there is no such check; did you mean [checks.pregreet]?"),
        ("[hold.wiat]\nx = 3", "1: error: hold.wiat: no such key; did you mean hold.wait?"),
        ("hold = 3", "1: error: hold: it is a table and has no value of its own; write [hold] and below it its keys, such as wait"),
        ("[[hold]]\nwait = 3", "1: error: hold: there is only one such table; write [hold], in single brackets"),
        ('"a.b" = 3', '1: error: "a.b": no such key at the top of the file; there are '),
        ('"hold.wait" = "3s"', '1: error: "hold.wait": the quotes make one name of it; write hold.wait without quotes'),
        ("checks.xyzzy = 3", "1: error: checks.xyzzy: no such table; there are [checks.pregreet], "),
        ('[checks.pregreet]\nat = "closed"', "2: error: checks.pregreet.at: "),
        (
            '[checks.pregreet]\naction = "discrad"',
            '2: error: checks.pregreet.action: "discrad" is none of '
            'ignore, tag, delay, discard, defer, reject and drop; did you mean "discard"?',
        ),
        ('preset = "postscren"', '1: error: preset: "postscren" is none of '),
        ('[record]\nstyle = "postscren"', '2: error: record.style: "postscren" is none of '),
        ("[limits]\nline = 100", "2: error: limits.line: 100 is out of range; write a number from 512 to 65536"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_remedy(text: str, problem: str) -> None:
    """Each single mistake is one problem, with the nearest right thing."""
    found = told(text)
    assert [True] == [one.startswith(f"t.toml:{problem}") for one in found], found


def test_layers() -> None:
    """Defaults, then the preset, then the file, then flags; each value knows its layer."""
    text = 'preset = "sendwrap-2004"\n\n[hold]\nwait = "9s"\n[limits]\nline = 600\n'
    loaded = load(FILE, text=text, flags={"limits.line": 700, "smtp.name": "a.example"})
    names = ("preset", "hold.wait", "checks.pregreet.action", "limits.line", "smtp.name", "limits.data")
    assert ["t.toml:1", "t.toml:4", "preset sendwrap-2004", "flag", "flag", "default"] == [
        str(loaded.origins[name]) for name in names
    ]
    assert (Span(9.0, 9.0), Action.DROP, 700, "a.example") == (
        loaded.config.hold.wait,
        loaded.config.checks["pregreet"].settings.action,
        loaded.config.limits.line,
        loaded.config.smtp.name,
    )


def test_a_flag_may_choose_the_preset() -> None:
    """The preset of a flag replaces that of the file."""
    loaded = load(FILE, text='preset = "sendwrap-2004"', flags={"preset": "carraway-2003"})
    assert (Span(1.0, 1.0), ()) == (loaded.config.hold.wait, loaded.problems)


def test_a_wrong_flag_is_a_problem_without_a_line() -> None:
    """Flags are told like keys, with no line."""
    assert ['t.toml: error: hold.wait: 3 has no unit; write "3s" for seconds'] == told("", {"hold.wait": 3})
    assert ["t.toml: error: hold.wiat: no such key; did you mean hold.wait?"] == told("", {"hold.wiat": 3})


def test_a_wrong_value_leaves_the_one_below() -> None:
    """Where a value cannot be taken, that of the layer below stays, with its origin."""
    loaded = load(FILE, text='preset = "carraway-2003"\n[hold]\nwait = 6\n')
    assert (Span(1.0, 1.0), Origin("preset", "carraway-2003")) == (loaded.config.hold.wait, loaded.origins["hold.wait"])


def test_the_messages_deadline_follows_the_backends() -> None:
    """Who sets limits.backend and not limits.message means both, and is told so."""
    loaded = load(FILE, text='[limits]\nbackend = "2m"')
    assert (120.0, "from limits.backend") == (loaded.config.limits.message, str(loaded.origins["limits.message"]))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 600.0), ('[limits]\nbackend = "2m"\nmessage = "3m"', 180.0), ("[limits]\nbackend = 2", 600.0)],
)
def test_the_messages_deadline_is_its_own_otherwise(text: str, seconds: float) -> None:
    """The deadline of the message is what is set, or the default."""
    assert seconds == load(FILE, text=text).config.limits.message


def test_what_a_preset_brings_is_told_at_the_preset() -> None:
    """A rule that a preset breaks is told at the line that names the preset."""
    loaded = load(FILE, text='# mine\npreset = "sendwrap-2004"')
    assert [("hold.wait", 2, Severity.WARNING)] == [(one.where, one.line, one.severity) for one in loaded.problems]
    assert "(by preset sendwrap-2004)" in loaded.problems[0].what


def test_a_rule_broken_by_a_flag_has_no_line() -> None:
    """A rule that a flag breaks is told without a file."""
    found = load(FILE, text="", flags={"hold.wait": "5m"}).problems
    assert [("hold.wait", "", 0)] == [(one.where, one.file, one.line) for one in found]


def test_a_wrong_key_counts_as_set() -> None:
    """A mode with a typo does not also bring the warning that no mode is set; nor does a line that could not be read."""
    assert 1 == len(told('[handoff]\nmode = "prxy"\naddress = "mx:25"'))
    assert 1 == len(told('[handoff]\nmode = proxy\naddress = "mx:25"'))


def test_lists_of_addresses() -> None:
    """Addresses are read from single and several lines, with comments."""
    loaded = load(FILE, text='[listen]\nsmtp = [\n  "0.0.0.0:25",  # all\n  "[::]:25",\n]')
    assert (Endpoint("0.0.0.0", 25), Endpoint("::", 25)) == loaded.config.listen.smtp


def test_inline_and_dotted_keys_are_the_same() -> None:
    """TOML's ways of writing a table are all understood."""
    ways = ('[hold]\nwait = "1s"', 'hold.wait = "1s"', 'hold = { wait = "1s" }', '["hold"]\n\'wait\' = "1s"')
    assert {Span(1.0, 1.0)} == {load(FILE, text=way).config.hold.wait for way in ways}


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    """A file that is not there is told with what to do, and the defaults stand."""
    path = tmp_path / "none.toml"
    loaded = load(path)
    assert [f"{path}: error: there is no such file; write one with `tarry config init`, or name another with -c"] == [
        str(one) for one in loaded.problems
    ]
    assert Config() == loaded.config


def test_a_directory_is_a_problem(tmp_path: Path) -> None:
    """A directory is no file."""
    assert [f"this is a directory; name a file in it, such as {tmp_path}/tarry.toml"] == [
        one.sentence for one in load(tmp_path).problems
    ]


def test_other_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A name that no system takes, a file that is too large, and one that is not UTF-8 are problems."""
    large, latin = tmp_path / "large", tmp_path / "latin"
    with large.open("wb") as stream:
        stream.truncate(SIZE_LIMIT + 1)
    latin.write_bytes(b'# a\r\n# caf\xe9\r\n[hold]\r\nwait = "1s"\r\n')
    assert ["cannot be read"] == [one.what[9:23] for one in load(Path("x" * 5000)).problems]
    assert ["cannot be read"] == [one.what[9:23] for one in load(Path("a\0b")).problems]
    assert ["the file is larger than 4 MiB"] == [one.what for one in load(large).problems]
    assert [("the byte 0xe9 is not UTF-8", 2)] == [(one.what, one.line) for one in load(latin).problems]
    assert Span(1.0, 1.0) == load(latin).config.hold.wait


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that this user may not read is told as such (root may read all, so the refusal is played)."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert ["this user may not read the file"] == [one.what for one in load(FILE).problems]


def test_names_are_printable() -> None:
    """A file's name is told without what a terminal would obey."""
    assert ["a\\x1b[31m\\udcff"] == [one.file for one in load(Path("a\x1b[31m\udcff")).problems]


def check(loaded: Loaded) -> None:
    """Hold the promises of any load."""
    assert isinstance(loaded.config, Config)
    assert loaded.errors + loaded.warnings == tuple(sorted(loaded.problems, key=lambda one: not one.is_error))
    assert all(str(problem).isprintable() for problem in loaded.problems)


@given(text=st.text())
def test_arbitrary_text_never_raises(text: str) -> None:
    """Any text at all gives a configuration and printable problems."""
    check(load(FILE, text=text))


_names = st.sampled_from([*keys(), *groups(), "hold.wiat", "xyzzy", "checks.x.y", '"a.b"'])
_values = st.sampled_from(
    ["3", '"3s"', '"9s..4s"', "true", "[]", '["10.0.0.1/8"]', "{}", "{ wait = 1 }", '"proxy"', "1979-05-27", "nan", "[[1]]", ""]
)


@given(lines=st.lists(st.tuples(_names, _values).map(" = ".join) | _names.map(lambda name: f"[{name}]"), max_size=12))
def test_arbitrary_settings_never_raise(lines: list[str]) -> None:
    """Any keys with any values give a configuration and printable problems."""
    check(load(FILE, text="\n".join(lines)))


def test_problems_are_told_once_and_in_order() -> None:
    """Problems come in the order of their lines."""
    lines = [one.line for one in load(FILE, text="[hold]\nb = 1\na = 1\n[deny]\nc = 1\n").problems]
    assert [2, 3, 5] == lines


@pytest.mark.parametrize("text", ["", 'preset = "sendwrap-2004"\n[hold]\nwait = "35s"\n', '[hold]\nwait = "6"\nwat = 1\n'])
def test_without_lines_all_else_is_the_same(text: str) -> None:
    """Values and problems; what is to be told is loaded again."""
    with_lines, without = load(FILE, text=text), load(FILE, text=text, lines=False)
    assert with_lines.config == without.config
    assert {problem.sentence for problem in with_lines.problems} == {problem.sentence for problem in without.problems}
    assert {0} >= {problem.line for problem in without.problems}
    assert {name: origin.kind for name, origin in with_lines.origins.items()} == {
        name: origin.kind for name, origin in without.origins.items()
    }


def test_a_configuration_for_one_client_alone() -> None:
    """The rules know that the client is given away at the greeting."""
    text = '[checks.predata]\naction = "reject"\n'
    assert () == load(FILE, text=text).errors
    assert ["checks.predata.action"] == [problem.where for problem in load(FILE, text=text, alone=True).errors]


# Checks of the operator's.


@pytest.mark.parametrize("lines", [True, False])
def test_a_plugin_brings_its_table(tmp_path: Path, lines: bool) -> None:
    """Its keys are known, read and have origins, also below a preset, which does not know it."""
    (tmp_path / "own.py").write_text(SOURCE)
    file = tmp_path / "t.toml"
    file.write_text('preset = "carraway-2003"\nplugins = ["own.py"]\n[checks.greeter]\nwords = ["x"]\n')
    loaded = load(file, lines=lines)
    assert () == loaded.problems
    assert ("x",) == flat(loaded.config)["checks.greeter.words"]
    assert Origin("file", str(file), 4 if lines else 0) == loaded.origins["checks.greeter.words"]
    assert Action.REJECT is loaded.config.checks["greeter"].settings.action
    assert "default" == str(loaded.origins["checks.greeter.action"])
    assert ("own.py",) == loaded.config.plugins


def test_a_plugin_is_looked_for_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text without a file means the working directory."""
    (tmp_path / "own.py").write_text(SOURCE)
    text = 'plugins = ["own.py"]'
    monkeypatch.chdir(tmp_path)
    assert () == load(None, text=text).errors == load(FILE, text=text).errors
    (problem,) = load(Path("none/t.toml"), text=text).errors
    assert problem.what.startswith("own.py: there is no such file (")


def test_a_key_of_an_own_check_is_judged_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the nearest name, and in the company of the others."""
    (tmp_path / "own.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    lines = ['plugins = ["own.py"]', "[checks.greeter]", "wordz = []", 'codes = { wrd = "tag" }', "[checks.greetr]", "[hold]"]
    assert [
        "t.toml:3: error: checks.greeter.wordz: no such key; did you mean checks.greeter.words?",
        't.toml:4: error: checks.greeter.codes: no such code: "wrd"; did you mean word?',
        "t.toml:5: error: checks.greetr: there is no such check; did you mean [checks.greeter]?",
        "t.toml:7: error: hold.words: no such key here; words belongs to [checks.greeter]: put it below that heading",
        "t.toml:8: error: hold.weight: no such key here; weight belongs to each [checks.NAME]: put it below that heading",
    ] == told("\n".join([*lines, "words = []", "weight = 1"]))


def test_all_that_is_wrong_with_plugins_is_told_with_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at the line of its word; whether a table belongs to a check that could not be had is not known, so it is let be."""
    (tmp_path / "own.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    assert [
        "t.toml:2: error: plugins: own.py:1: ZeroDivisionError: division by zero; mend it, or take it out of plugins",
        f"t.toml:4: error: plugins: two.py: there is no such file ({tmp_path}/two.py); correct the name, or write the file",
        "t.toml:7: error: hold.wiat: no such key; did you mean hold.wait?",
    ] == told('plugins = [\n "own.py",\n # and\n "two.py"]\n[checks.greeter]\n[hold]\nwiat = 1\n')


@pytest.mark.parametrize(
    ("value", "what"),
    [('"own.py"', '"own.py" is not a list'), ("[7]", "7 is not text"), ('[""]', "it is empty"), ("3", "3 is not a list")],
)
def test_plugins_is_a_list_of_words(value: str, what: str) -> None:
    """What is none is told like any other value, once."""
    (problem,) = load(FILE, text=f"plugins = {value}").errors
    assert ("plugins", what) == (problem.where, problem.what)


def test_plugins_by_a_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They win over those of the file, and have no line."""
    (tmp_path / "own.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    assert "greeter" in load(FILE, text='plugins = ["none.py"]', flags={"plugins": ["own.py"]}).config.checks
    assert [0] == [problem.line for problem in load(FILE, text="", flags={"plugins": ["none.py"]}).errors]


def test_checks_that_a_program_gives() -> None:
    """They are known to this load and to no other."""
    text = '[checks.greeter]\naction = "tag"\n'
    assert Action.TAG is load(FILE, text=text, checks=[Greeter()]).checked().checks["greeter"].settings.action
    assert ["checks.greeter"] == [problem.where for problem in load(FILE, text=text).errors]
    broken = load(FILE, text=text, checks=[7])  # type: ignore[list-item]
    assert ["plugins: int has no name"] == [f"{one.where}: {one.what}" for one in broken.errors[:1]]
