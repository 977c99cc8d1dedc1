"""certificates - throw-away certificates for tests of TLS, made with the openssl command, and contexts of both sides."""

from __future__ import annotations

import socket
import ssl
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tarry.net.tls import server_context


def make(folder: Path, name: str = "localhost", kind: str = "ec", *more: str) -> tuple[Path, Path]:
    """Write a self-signed certificate for *name* and its key into *folder*; return both paths. *more* are openssl's options."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    kinds = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa1024": ["rsa:1024"]}
    command = ["openssl", "req", "-x509", "-newkey", *kinds[kind], "-days", "7", "-subj", f"/CN={name}"]
    names = f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1"
    locked = [] if "-passout" in more else ["-nodes"]
    paths = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, "-addext", names, *locked, *more, *paths], capture_output=True, timeout=30, check=True)
    return certificate, key


@cache
def pair() -> tuple[Path, Path]:
    """Return the certificate and key that the tests of one process share."""
    return make(Path(mkdtemp(prefix="tarry-tls-")))


@cache
def context() -> ssl.SSLContext:
    """Return the server's terms with that certificate."""
    certificate, key = pair()
    return server_context(str(certificate), str(key), "1.2")


def client_context(**changed: ssl.TLSVersion) -> ssl.SSLContext:
    """Return a client's terms that trust that certificate alone; *changed* are attributes of theirs.

    A connection that ends without close_notify is a fault to it (Python makes OpenSSL overlook that by itself).
    """
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    terms.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    terms.load_verify_locations(pair()[0])
    for name, value in changed.items():
        setattr(terms, name, value)
    return terms


def wrap(sock: socket.socket, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """Begin TLS on a blocking socket as a client that wants to hear a proper end."""
    sock.settimeout(5.0)
    return (context or client_context()).wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
