"""Certificates of a test's own, for 127.0.0.1, that sign themselves."""

import ssl
import subprocess
from pathlib import Path


def certify(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a key and a certificate that it signs itself."""
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    return certificate, key


def shown(certificate: Path, key: Path) -> ssl.SSLContext:
    """What a server shows its certificate by."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def trust(*certificates: Path) -> ssl.SSLContext:
    """What a client takes these certificates by, and no others of ours."""
    context = ssl.create_default_context()
    for certificate in certificates:
        context.load_verify_locations(certificate)
    return context
