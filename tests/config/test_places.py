"""Addresses, networks, header lines and replies."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config import places
from tarry.config.places import UnixSocket
from tarry.config.values import Kind, Wrong
from tarry.core.client import Endpoint
from tests.config.test_values import anything, refusal


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:2525", Endpoint("127.0.0.1", 2525)),
        ("[::1]:25", Endpoint("::1", 25)),
        ("[2001:DB8::1]:25", Endpoint("2001:db8::1", 25)),
        ("mail.Example.org:25", Endpoint("mail.example.org", 25)),
        ("localhost:0", Endpoint("localhost", 0)),
    ],
)
def test_endpoint(text: str, endpoint: Endpoint) -> None:
    """An address for clients is host:port, an IPv6 host in brackets; it is written back in the same form."""
    assert endpoint == places.endpoint.read(text)
    assert text.lower() == places.endpoint.write(endpoint)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (25, '25 is not an address; write host:port in quotes, such as "127.0.0.1:25"'),
        ("25", '"25" is only a port; write "0.0.0.0:25" for all IPv4 addresses, "[::]:25" for IPv6'),
        (":25", '":25" has no host; write "0.0.0.0:25" for all IPv4 addresses, "[::]:25" for IPv6'),
        ("*:25", '"*:25" has no host; write "0.0.0.0:25" for all IPv4 addresses, "[::]:25" for IPv6'),
        ("127.0.0.1", '"127.0.0.1" has no port; write "127.0.0.1:25"'),
        ("[::1]", '"[::1]" has no port; write "[::1]:25"'),
        ("127.0.0.1:smtp", '"127.0.0.1:smtp" has no port from 0 to 65535; write "127.0.0.1:25"'),
        ("127.0.0.1:65536", '"127.0.0.1:65536" has no port from 0 to 65535; write "127.0.0.1:25"'),
        ("fe80::1:25", '"fe80::1:25" is ambiguous: an IPv6 address stands in brackets; write "[fe80::1]:25"'),
        ("a:b:25", '"a:b:25" is no host:port; write host:port, such as "127.0.0.1:25" or "[::1]:25"'),
        ("[10.0.0.1]:25", '"[10.0.0.1]" is not an IPv6 address in brackets; write "10.0.0.1:25" or "[::1]:25"'),
        ("1.2.3:25", '"1.2.3" is neither an IP address nor a host name; write an address, such as "127.0.0.1:25"'),
        ("a b:25", '"a b" is neither an IP address nor a host name; write an address, such as "127.0.0.1:25"'),
        ("unix:/run/x", '"unix:/run/x" is no address for SMTP clients; write host:port, such as "127.0.0.1:25"'),
    ],
)
def test_no_endpoint(value: object, told: str) -> None:
    """What is no address is told with the nearest one that is."""
    assert told == refusal(places.endpoint, value)


def test_the_mta_may_have_a_unix_socket() -> None:
    """The MTA's address may be a path."""
    assert UnixSocket("/run/lmtp") == places.target.read("unix:/run/lmtp")
    assert "unix:/run/lmtp" == places.target.write(UnixSocket("/run/lmtp"))
    assert Endpoint("mx", 25) == places.target.read("mx:25")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("/run/lmtp", '"/run/lmtp" is a path; write "unix:/run/lmtp"'),
        ("unix:lmtp", '"unix:lmtp" is not an absolute path; write "unix:/path/to/socket"'),
        ("unix:/" + "x" * 107, f'"unix:/{"x" * 41}... cannot be the path of a socket; use at most 107 printable characters'),
        ("127.0.0.1:0", '"127.0.0.1:0" has port 0; write the port on which the MTA listens'),
    ],
)
def test_no_target(value: object, told: str) -> None:
    """An MTA needs an absolute path or a port."""
    assert told == refusal(places.target, value)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.53", Endpoint("192.0.2.53", 53)),
        ("127.0.0.1:5353", Endpoint("127.0.0.1", 5353)),
        ("2001:DB8::53", Endpoint("2001:db8::53", 53)),
        ("[2001:db8::53]", Endpoint("2001:db8::53", 53)),
        ("[::1]:5353", Endpoint("::1", 5353)),
    ],
)
def test_a_name_server_is_an_address(text: str, endpoint: Endpoint) -> None:
    """Without a port it is 53."""
    assert (endpoint,) == places.name_servers.read([text])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ns.example:53", "is a name"),
        ("ns.example", "is a name"),
        ("8.8.8.8#53", "is neither an IP"),
        ("127.0.0.1:0", "port 0"),
    ],
)
def test_a_name_is_no_name_server(text: str, told: str) -> None:
    """Whom should be asked where it is?"""
    with pytest.raises(Wrong) as raised:
        places.name_servers.read([text])
    assert told in raised.value.what


def test_an_optional_address_may_be_empty() -> None:
    """The empty text is no address, and is written back as such."""
    assert (None, "") == (places.optional_endpoint.read(""), places.optional_endpoint.write(None))
    assert "127.0.0.1:8025" == places.optional_endpoint.write(places.optional_endpoint.read("127.0.0.1:8025"))


@pytest.mark.parametrize("text", ["192.0.2.0/24", "192.0.2.7", "2001:db8::/32", "::1", "0.0.0.0/0", "10.0.0.0/255.0.0.0"])
def test_network(text: str) -> None:
    """A network is an address, or one with a prefix."""
    assert ip_network(text) == places.network.read(text)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (10, '10 is not a network; write it in quotes, such as "192.0.2.0/24"'),
        (
            "10.1.2.3/8",
            '"10.1.2.3/8" has bits set right of its prefix; write "10.0.0.0/8" for the network, or "10.1.2.3" for the one host',
        ),
        ("10.0.1", '"10.0.1" is not a network; write all four numbers: "10.0.1.0/24"'),
        ("10.", '"10." is not a network; write all four numbers: "10.0.0.0/8"'),
        ("10/8", '"10/8" is not a network; write all four numbers: "10.0.0.0/8"'),
        (
            "nowhere",
            '"nowhere" is not a network; write an address, or one with a prefix length, such as "192.0.2.0/24" or "2001:db8::/32"',
        ),
        ("::ffff:10.0.0.0/104", '"::ffff:10.0.0.0/104" matches nobody, since clients are shown as plain IPv4; write "10.0.0.0/8"'),
        ("fe80::1%eth0", '"fe80::1%eth0" holds a zone; write "fe80::1": clients are known without theirs'),
    ],
)
def test_no_network(value: object, told: str) -> None:
    """What is no network is told with the right one; nothing is rounded in silence."""
    assert told == refusal(places.network, value)


@given(address=st.ip_addresses(v=4) | st.ip_addresses(v=6), prefix=st.integers(0, 32))
def test_a_network_reads_back(address: object, prefix: int) -> None:
    """What is written reads back as the same network."""
    network = ip_network(f"{address}/{prefix}", strict=False)
    try:
        assert network == places.network.read(places.network.write(network))
    except Wrong as wrong:  # a network of IPv4-mapped addresses
        assert "plain IPv4" in wrong.what


@pytest.mark.parametrize("text", ["", "X-Tarry: {reason}", "X-Spam:yes"])
def test_header(text: str) -> None:
    """A header is Name: value, or nothing."""
    assert text == places.header.read(text)


@pytest.mark.parametrize(
    "value", ["X-Tarry", "X Tarry: a", ": a", "X-Tarry: a\r\nBcc: b", "X-Tarry: é", "X-Tarry: ", 5, "X: " + "a" * 900]
)
def test_no_header(value: object) -> None:
    """What would not stand as one header line in ASCII is refused."""
    assert refusal(places.header, value)


@pytest.mark.parametrize("text", ["", "550 5.7.1 No [{id}]", "421 later"])
def test_reply(text: str) -> None:
    """A reply is a code 4xx or 5xx and text, or nothing."""
    assert text == places.reply.read(text)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("251 ok", "is neither a reply that refuses nor the 250"),
        ("550", "is neither a reply that refuses nor the 250"),
        ("550-No", "is neither a reply that refuses nor the 250"),
        ("550 ", "is neither a reply that refuses nor the 250"),
        ("550 No\r\n250 ok", "the reply holds a line break; write one line"),
        ("550 é", "is neither a reply that refuses nor the 250"),
        (550, "550 is neither a reply that refuses nor the 250"),
        ("550 " + "a" * 400, "the reply has 404 characters; keep to 400"),
    ],
)
def test_no_reply(value: object, told: str) -> None:
    """What does not refuse, or would be two lines, is refused itself."""
    assert told in refusal(places.reply, value)


@pytest.mark.parametrize(
    "kind",
    [places.name_servers, places.target, places.networks, places.header, places.reply, places.optional_endpoint],
)
@given(
    value=anything
    | st.text(alphabet="0123456789.:/[]%unix-ab() ")
    | st.lists(st.text(alphabet="0123456789.:/[]%unix-ab ") | anything, max_size=2)
)
def test_a_kind_takes_a_value_or_says_why_not(kind: Kind, value: object) -> None:
    """Whatever the value, it is taken, or told in printable text; what is taken reads back."""
    try:
        taken = kind.read(value)
    except Wrong as wrong:
        assert (wrong.what + wrong.fix).isprintable()
        assert wrong.fix
    else:
        assert taken == kind.read(kind.write(taken))
