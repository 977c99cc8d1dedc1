"""The environment and the words of a command that serves one client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.problems import COMMAND_PLACES
from tarry.core.client import Client, Endpoint
from tarry.net.ucspi import PLACES, environment, fill, told

CLIENT = Client(Endpoint("192.0.2.7", 4711), Endpoint("198.51.100.1", 25))
OWN = {
    "TCPREMOTEIP": "192.0.2.7",
    "TCPREMOTEPORT": "4711",
    "TCPLOCALIP": "198.51.100.1",
    "TCPLOCALPORT": "25",
    "PROTO": "TCP",
}


def test_the_variables_are_added_to_what_is_there() -> None:
    """A command finds them beside the rest of the environment."""
    assert {"PATH": "/bin", **OWN} == environment(CLIENT, {"PATH": "/bin"})


def test_what_the_same_clients_tcpserver_said_stays() -> None:
    """Its name, its relay permission, the form of its address; what is missing is added."""
    said = {
        "TCPREMOTEIP": "::ffff:192.0.2.7",
        "TCPREMOTEPORT": "4711",
        "TCPREMOTEHOST": "a.example",
        "PROTO": "SSL",
        "RELAYCLIENT": "",
    }
    assert {**OWN, **said} == environment(CLIENT, said)


@pytest.mark.parametrize(
    "said",
    [
        {"TCPREMOTEIP": "203.0.113.9", "TCPREMOTEPORT": "4711"},
        {"TCPREMOTEIP": "192.0.2.7", "TCPREMOTEPORT": "4712"},
        {},
    ],
)
def test_what_was_said_of_another_client_goes(said: dict[str, str]) -> None:
    """A front door that tcpserver started would else pass the first client's name on to all."""
    others = {
        "TCPREMOTEHOST": "a.example",
        "TCPREMOTEINFO": "joe",
        "TCPLOCALHOST": "mx.example",
        "TCPLOCALIP": "10.0.0.1",
        "PROTO": "UNIX",
    }
    assert OWN == environment(CLIENT, {**said, **others})


def test_an_unknown_server_is_left_out() -> None:
    """An empty address would be believed."""
    unknown = Client(CLIENT.endpoint, Endpoint("", 0))
    assert {"TCPREMOTEIP": "192.0.2.7", "TCPREMOTEPORT": "4711", "PROTO": "TCP"} == environment(unknown, {"TCPLOCALIP": "10.0.0.1"})


def test_the_words_of_a_command_are_filled() -> None:
    """The four places, wherever they stand in a word."""
    words = ["/usr/sbin/exim", "-bs", "-oMa", "[{client}]:{client_port}", "-oMi", "[{server}]:{server_port}"]
    assert ["/usr/sbin/exim", "-bs", "-oMa", "[192.0.2.7]:4711", "-oMi", "[198.51.100.1]:25"] == fill(words, CLIENT)


@pytest.mark.parametrize("word", ["{}", "{host}", "{{client", "${CLIENT}", "{client.host}", "a{0}b", "{client!r}"])
def test_other_braces_stay(word: str) -> None:
    """They may mean something to the command."""
    assert [word] == fill([word], CLIENT)


@given(words=st.lists(st.text()))
def test_any_words_can_be_filled(words: list[str]) -> None:
    """As many come out as went in."""
    assert len(words) == len(fill(words, CLIENT))


def test_the_places_are_those_that_the_configuration_knows() -> None:
    """What config/problems accepts is what is replaced."""
    assert COMMAND_PLACES == PLACES


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (OWN, CLIENT),
        ({"TCPREMOTEIP": "::ffff:192.0.2.7", "TCPREMOTEPORT": "4711"}, Client(CLIENT.endpoint, Endpoint("", 0))),
        ({"REMOTE_ADDR": "2001:DB8::1", "REMOTE_PORT": "70000"}, Client(Endpoint("2001:db8::1", 0), Endpoint("", 0))),
        ({"TCPREMOTEIP": "joe", "REMOTE_ADDR": "192.0.2.7", "REMOTE_PORT": "x"}, Client(Endpoint("192.0.2.7", 0), Endpoint("", 0))),
        ({"TCPREMOTEIP": "", "TCPREMOTEPORT": "1"}, None),
        ({}, None),
    ],
)
def test_a_client_is_read_out_of_the_environment(environ: dict[str, str], expected: Client | None) -> None:
    """tcpserver's variables before systemd's; what is no address or no port is unknown."""
    assert expected == told(environ)


def test_what_is_unknown_of_a_client_is_not_told() -> None:
    """A port of 0 would be believed."""
    assert {"TCPREMOTEIP": "192.0.2.7", "PROTO": "TCP"} == environment(Client(Endpoint("192.0.2.7", 0), Endpoint("", 0)), {})
