"""Wiring: the MTA of a configuration, and to whom clients are given."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tarry.config.schema import Config
from tarry.handoffs import given_away_to, make_backend, tls_of
from tarry.net.backend import TcpConnector, UnixConnector
from tarry.net.children import CommandConnector, RunFor
from tarry.net.maildir import MaildirConnector
from tarry.net.passing import PassConnector, PassTo
from tests.certificates import pair

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.mark.parametrize(
    ("text", "kind", "announce", "where"),
    [
        ('mode = "maildir"\nmaildir = "in/box"', MaildirConnector, "proxy-v2", "in/box"),
        ('mode = "proxy"\naddress = "127.0.0.1:10025"', TcpConnector, "none", "127.0.0.1:10025"),
        ('mode = "proxy"\naddress = "[::1]:25"\nannounce = "proxy-v1"', TcpConnector, "proxy-v1", "[::1]:25"),
        ('mode = "proxy"\naddress = "unix:/run/mta"\nannounce = "proxy-v2"', UnixConnector, "proxy-v2", "unix:/run/mta"),
        ('mode = "proxy"\naddress = "unix:/run/smtpd"\nannounce = "pass"', PassConnector, "pass", "unix:/run/smtpd"),
        ('mode = "pass"\nsocket = "/run/smtpd"', PassConnector, "none", "unix:/run/smtpd"),
        ('mode = "exec"\ncommand = ["/bin/mta", "-bs"]', CommandConnector, "none", "/bin/mta"),
        ('mode = "exec"\ncommand = ["/bin/mta"]\nstdio = "pipe"', CommandConnector, "none", "/bin/mta"),
        ('mode = "proxy"\naddress = "127.0.0.1:25"\nannounce = "xclient"', TcpConnector, "xclient", "127.0.0.1:25"),
    ],
)
def test_the_mta_of_a_configuration(text: str, kind: type, announce: str, where: str) -> None:
    """By mode and address; the embedded one learns the client's address as any other would."""
    backend = make_backend(Config.from_toml(f"[handoff]\n{text}"), on_health=lambda good, why: None)
    assert (kind, announce, where) == (type(backend.connector), backend.announce, backend.connector.where)
    assert Path("in/box/new").is_dir() == (kind is MaildirConnector)


@pytest.mark.parametrize(
    ("text", "to"),
    [
        ("", None),
        ('mode = "proxy"\naddress = "unix:/run/smtpd"\nannounce = "pass"', None),
        ('mode = "pass"\nsocket = "/run/smtpd"\nmax_waiting = 7', PassTo("/run/smtpd", 7, 9.0)),
        ('mode = "exec"\ncommand = ["/bin/mta", "-bs"]\nmax_children = 3', RunFor(("/bin/mta", "-bs"), 3)),
        ('mode = "exec"\ncommand = ["/bin/mta"]\nstdio = "pipe"', None),
    ],
)
def test_to_whom_clients_are_given(text: str, to: PassTo | RunFor | None) -> None:
    """At the greeting; to nobody where tarry stays in line."""
    assert to == given_away_to(Config.from_toml(f'[limits]\nbackend = "9s"\n[handoff]\n{text}'))


@pytest.mark.parametrize(("mode", "without"), [("relay", frozenset[str]()), ("off", frozenset({"STARTTLS"}))])
def test_starttls_can_be_kept_back(mode: str, without: frozenset[str]) -> None:
    """tls.mode = "off" does not offer it, whatever the MTA does."""
    assert without == make_backend(Config.from_toml(f'[tls]\nmode = "{mode}"'), on_health=lambda good, why: None).without


@pytest.mark.parametrize(
    ("mode", "to_mta", "address", "expected"),
    [
        ("maildir", "plain", "localhost:25", None),
        ("proxy", "plain", "localhost:25", None),
        ("proxy", "starttls", "localhost:25", ("localhost", ssl.CERT_NONE, 9.0)),
        ("proxy", "verify", "localhost:25", ("localhost", ssl.CERT_REQUIRED, 9.0)),
        ("proxy", "starttls", "unix:/run/mta", ("", ssl.CERT_NONE, 9.0)),
    ],
)
def test_how_tls_is_spoken_to_the_mta(mode: str, to_mta: str, address: str, expected: tuple[str, int, float] | None) -> None:
    """With the name in handoff.address, where it has one."""
    config = f"""
        handoff = {{ mode = "{mode}", address = "{address}" }}
        tls = {{ mode = "off", to_mta = "{to_mta}", minimum = "1.3" }}
        limits.handshake = "9s"
    """
    backend = make_backend(Config.from_toml(config), on_health=lambda good, why: None)
    tls = backend.tls
    assert expected == (tls and (tls.name, tls.context.verify_mode, tls.limit))
    assert tls is None or tls.context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert (backend.way is not None) == (tls is not None)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("", None),
        ('tls.mode = "off"', None),
        ('tls.mode = "terminate"', ssl.TLSVersion.TLSv1_3),
        ('listen.smtps = ["127.0.0.1:0"]', ssl.TLSVersion.TLSv1_3),
    ],
)
def test_whether_tls_with_clients_ends_here(text: str, version: ssl.TLSVersion | None) -> None:
    """After STARTTLS, or from the beginning on a port of its own; a certificate that nobody uses is not opened."""
    certificate, key = pair() if version else (Path("none.pem"), Path("none.key"))
    config = Config.from_toml(f'{text}\ntls.minimum = "1.3"\ntls.certificate = "{certificate}"\ntls.key = "{key}"\n')
    context = tls_of(config)
    assert version == (context and context.minimum_version)
