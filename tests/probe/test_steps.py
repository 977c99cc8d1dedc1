from tarry.probe.habits import habits
from tarry.probe.steps import GOODBYE, Habit, Hear, Kind, Listen, Options, Say


def test_the_client_calls_itself_by_its_senders_domain() -> None:
    """The name in EHLO is the sender's domain, and our own for the null sender."""
    assert Options(sender="a@b@example.org").hello == b"example.org"
    assert Options(sender="").hello == b"probe.tarry.invalid"


def test_polite_clients_say_quit_and_hear_it_answered() -> None:
    """Leaving is QUIT, its reply, and a moment for the server to close first."""
    assert (Say(b"QUIT\r\n"), Hear("quit", GOODBYE[1].within if isinstance(GOODBYE[1], Hear) else None), Listen()) == GOODBYE


def test_only_clients_that_are_silent_until_greeted_measure_the_hold() -> None:
    """Neither an early talker nor one that gives up can tell how long the hold is."""
    others = [habit.name for habit in habits(Options()) if not habit.waits_for_greeting]

    assert others == ["half-closer", "blind", "one-early-byte", "tls-first", "http-first", "impatient"]


def test_what_may_be_refused_is_named_by_its_steps() -> None:
    """Only a step that says so takes a no as an answer."""
    steps = (Hear("greeting"), Hear("guess 1", bears_refusal=True), Hear("rcpt"))

    assert Habit(name="x", kind=Kind.BOT, did="", goal="rcpt", steps=steps).bears_refusals_of == {"guess 1"}
