"""certificate - a throw-away certificate for STARTTLS on loopback, made with the openssl command."""

import ssl
import subprocess
from pathlib import Path


def make(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for localhost and its key below *folder*; return both paths."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "7"]
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
    paths = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, "-subj", "/CN=localhost", "-addext", names, *paths], capture_output=True, timeout=30, check=True)
    return certificate, key


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def client_context(certificate: Path | None = None) -> ssl.SSLContext:
    """Return a context that trusts *certificate* alone, or anyone when there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if certificate is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(certificate)
    return context
