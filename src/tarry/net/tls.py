"""tls - the certificate, and the terms on which TLS is spoken with clients.

What      Makes one `ssl.SSLContext` from tls.certificate, tls.key and tls.minimum; made anew at each reload.
Promises  A file that is missing, unreadable, no certificate, no key, or the key of another certificate is told in one sentence that
          names the config key and the file, as an OSError. Nothing is asked on the terminal: a key with a passphrase is a fault.
Terms     Server's choice of cipher, no compression, no renegotiation (a client may not make tarry compute without end, and a
          session has one identity), Python's list of ciphers: forward secrecy and AES-GCM, ChaCha20 or AES-CBC with it. No
          client certificate is asked for: SMTP clients have none, and some servers stumble over the question.
Source    RFC 9325 (TLS), RFC 8996 (no TLS before 1.2), RFC 7465 (no RC4).
"""

from __future__ import annotations

import ssl
from pathlib import Path

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(certificate: str, key: str, minimum: str) -> ssl.SSLContext:
    """Return the terms for clients: *certificate* and *key* are PEM files, *minimum* is "1.2" or "1.3". Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[minimum]
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    _look_for(_CERTIFICATE, "certificate", "tls.certificate", certificate)
    _look_for(_KEY, "private key", "tls.key", key)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as fault:
        raise OSError(f"tls.key: {key}, with tls.certificate {certificate}: {_explained(fault)}") from None
    except ValueError:  # what `_no_password` makes of a key with a passphrase
        raise OSError(f"tls.key: {key}: it is locked with a passphrase, which nobody can type here; write it without one") from None
    return context


def _look_for(what: bytes, name: str, config_key: str, path: str) -> None:
    try:
        found = what in Path(path).read_bytes()
    except OSError as fault:  # ENOENT, EACCES, EISDIR
        raise OSError(f"{config_key}: {path}: {fault.strerror}") from None
    if not found:
        raise OSError(f"{config_key}: {path}: there is no {name} in PEM form in it")


def _explained(fault: ssl.SSLError) -> str:
    match fault.reason:
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH":
            return "the key is that of another certificate"
        case "EE_KEY_TOO_SMALL" | "CA_KEY_TOO_SMALL" | "CA_MD_TOO_WEAK":
            return "OpenSSL finds the certificate too weak; take RSA with 2048 bits or more, or ECDSA, and SHA-256"
        case reason:
            return f"OpenSSL cannot read them ({said(reason)})"


def said(reason: str | None) -> str:
    """Return OpenSSL's name of a fault as words: WRONG_VERSION_NUMBER is "wrong version number"."""
    return (reason or "unknown fault").lower().replace("_", " ")


def _no_password() -> str:
    raise ValueError("no passphrase")
