"""Clients and presets, played without a server."""

import pytest

from tarry.cli.probe import OF_PRESETS
from tarry.cli.probe_presets import LIST, OWN_NAMES, Case, Outcome, cases, outcomes
from tarry.config.schema import PRESETS
from tarry.core.facts import Answer, State, addresses_of, listing, names_of
from tarry.probe.habits import NAMES
from tarry.probe.steps import Hear, Kind
from tarry.probe.trace import Ending, Seconds
from tarry.probe.verdict import Verdict

CASES = {case.habit.name: case for case in cases()}
CLIENT = "192.0.2.7"


def outcome(name: str, preset: str = "tarry") -> Outcome:
    ((found,),) = outcomes([CASES[name]], [preset])
    return found


def answer(case: Case, question: object) -> Answer:
    (found,) = case.look([question])  # type: ignore[list-item]
    return found


def test_all_habits_are_there_and_some_clients_that_the_dns_knows() -> None:
    """Honest ones first; each has a name of its own."""
    names = [case.habit.name for case in cases()]

    assert {*NAMES, *OF_PRESETS} == set(names)
    assert len(set(names)) == len(names)
    kinds = [case.habit.kind for case in cases()]
    assert kinds == sorted(kinds, key=lambda kind: kind is not Kind.HONEST)


def test_what_the_dns_says_of_a_client() -> None:
    """Its names are confirmed and lead to it; nobody is listed but the one that is; other names have no address."""
    clean, listed, nameless = CASES["patient"], CASES["listed"], CASES["nameless"]

    assert (State.FOUND, OWN_NAMES, 2) == ((found := answer(clean, names_of(CLIENT))).state, found.values, found.confirmed)
    assert (CLIENT,) == answer(clean, addresses_of("mail.example.net")).values
    assert State.NOTHING is answer(clean, addresses_of("aol.com")).state
    assert State.NOTHING is answer(clean, listing(CLIENT, LIST)).state
    assert ("127.0.0.2",) == answer(listed, listing(CLIENT, LIST)).values
    assert State.NOTHING is answer(nameless, names_of(CLIENT)).state
    assert ("p5483-17.dsl.isp.example",) == answer(CASES["dial-up"], names_of(CLIENT)).values


def test_patience_is_that_of_the_client() -> None:
    """The impatient one waits for its greeting, a flood for each reply, an honest one as long as the standard wants."""
    bounds = {name: {step.within for step in case.habit.steps if isinstance(step, Hear)} for name, case in CASES.items()}

    assert 20.0 in bounds["impatient"] and 60.0 in bounds["rcpt-flood"] and 300.0 in bounds["mailing-list"]
    assert "leaves after 7 s" in [case.habit.did for case in cases(impatient=Seconds(7.0))]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_client_comes_to_an_end_under_every_preset(preset: str) -> None:
    """None is left in the air, whatever the preset does; and the plain honest one gets its mail through."""
    (found,) = outcomes(list(CASES.values()), [preset])

    assert list(CASES) == [one.finding.trace.habit for one in found]
    assert {preset} == {one.preset for one in found}
    assert {one.finding.trace.ended for one in found} <= {Ending.SERVER, Ending.CLIENT}
    assert [Verdict.DELIVERED] == [one.finding.verdict for one in found if one.case.habit.name == "patient"]
    assert [1] == [one.played.messages for one in found if one.case.habit.name == "patient"]


@pytest.mark.parametrize(
    ("name", "preset", "verdict", "code", "after"),
    [
        ("patient", "tarry", Verdict.DELIVERED, 250, 4.5),
        ("patient", "sendwrap-2004", Verdict.DELIVERED, 250, 35.0),
        ("blind", "carraway-2003", Verdict.TURNED_AWAY, 550, 0.0),
        ("blind", "sendwrap-2004", Verdict.TURNED_AWAY, 521, 0.0),
        ("impatient", "sendwrap-2004", Verdict.GAVE_UP, None, 20.0),
        ("impatient", "tarry", Verdict.SERVED, 220, 4.5),
        ("half-closer", "tarry", Verdict.HELD, 220, 4.5),
        ("listed", "carraway-2003", Verdict.DELIVERED, 250, 1.0),
        ("dead-recipients", "qpsmtpd-earlytalker", Verdict.SERVED, 250, 1.0),
        ("listed", "postscreen", Verdict.REFUSED, 550, 6.0),
        ("listed", "flavell-2004", Verdict.DELIVERED, 250, 165.0),
        ("listed", "spamd", Verdict.REFUSED, 450, 113.0),
        ("forged-helo", "flavell-2004", Verdict.GAVE_UP, None, 60.0),
        ("rcpt-flood", "zmailer-1997", Verdict.GAVE_UP, None, 60.0),
        ("rset-flood", "zmailer-1997", Verdict.GAVE_UP, None, 60.0),
        ("mailing-list", "zmailer-1997", Verdict.NO_ANSWER, None, 300.0),
        ("endless", "zmailer-1997", Verdict.SERVED, 250, 93000.0),
    ],
)
def test_what_is_known_of_the_presets_comes_out(name: str, preset: str, verdict: Verdict, code: int | None, after: float) -> None:
    """The waits and replies are those that their pages tell."""
    if name == "half-closer":
        (found,) = outcomes([CASES["patient"], CASES[name]], [preset])
        finding = found[1].finding
    else:
        finding = outcome(name, preset).finding

    assert (verdict, code) == (finding.verdict, finding.deciding.code if finding.deciding else None)
    assert finding.decided_after == pytest.approx(after)


def test_guessed_recipients_are_refused_by_the_mta() -> None:
    """All but the last; for the other clients it accepts everything."""
    codes = [reply.code for reply, _ in outcome("dead-recipients").finding.trace.rounds("guess")]

    assert [550] * 20 == codes
    assert 26 == len([reply for reply in outcome("rcpt-flood").finding.trace.replies if reply.to.startswith(("rcpt", "message"))])
