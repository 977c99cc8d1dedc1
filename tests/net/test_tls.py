"""The certificate, and the terms on which TLS is spoken."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tarry.net.tls import said, server_context
from tests.certificates import make, pair


@pytest.mark.parametrize(("minimum", "version"), [("1.2", ssl.TLSVersion.TLSv1_2), ("1.3", ssl.TLSVersion.TLSv1_3)])
def test_the_terms(minimum: str, version: ssl.TLSVersion) -> None:
    """No old version, no compression, no renegotiation, no question for a client certificate, and tarry chooses the cipher."""
    certificate, key = pair()
    context = server_context(str(certificate), str(key), minimum)
    assert version == context.minimum_version
    for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_CIPHER_SERVER_PREFERENCE):
        assert context.options & option
    assert ssl.CERT_NONE is context.verify_mode
    assert all("DHE" in one["name"] or one["name"].startswith("TLS_") for one in context.get_ciphers())


def test_certificate_and_key_in_one_file(tmp_path: Path) -> None:
    """As many tools write them."""
    both = tmp_path / "both.pem"
    both.write_bytes(pair()[0].read_bytes() + pair()[1].read_bytes())
    assert server_context(str(both), str(both), "1.2")


@pytest.mark.parametrize(
    ("certificate", "key", "why"),
    [
        ("none.pem", "localhost.key", "tls.certificate: none.pem: No such file or directory"),
        ("localhost.pem", "none.key", "tls.key: none.key: No such file or directory"),
        (".", "localhost.key", "tls.certificate: .: Is a directory"),
        ("localhost.key", "localhost.key", "tls.certificate: localhost.key: there is no certificate in PEM form in it"),
        ("localhost.pem", "localhost.pem", "tls.key: localhost.pem: there is no private key in PEM form in it"),
        (
            "localhost.pem",
            "other.key",
            "tls.key: other.key, with tls.certificate localhost.pem: the key is that of another certificate",
        ),
        ("torn.pem", "localhost.key", "OpenSSL cannot read them"),
        ("locked.pem", "locked.key", "tls.key: locked.key: it is locked with a passphrase"),
        ("weak.pem", "weak.key", "OpenSSL finds the certificate too weak"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    certificate: str, key: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key of the configuration, and the file; nothing is asked on the terminal."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    match certificate if why.startswith("OpenSSL") or "locked" in key else key:
        case "other.key":
            make(tmp_path, "other")
        case "locked.pem":
            make(tmp_path, "locked", "ec", "-passout", "pass:secret")
        case "weak.pem":
            make(tmp_path, "weak", "rsa1024")
        case "torn.pem":
            Path("torn.pem").write_bytes(Path("localhost.pem").read_bytes()[:200] + b"\n-----END CERTIFICATE-----\n")
    with pytest.raises(OSError) as told:
        server_context(certificate, key, "1.2")
    assert why in str(told.value)
    assert (None, None) == (told.value.errno, told.value.filename)


def test_openssls_names_as_words() -> None:
    """For the records; a fault without a name is one as well."""
    assert "wrong version number" == said("WRONG_VERSION_NUMBER")
    assert "unknown fault" == said(None)
