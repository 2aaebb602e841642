"""Certificates for tests, made by openssl on the spot."""

import subprocess
from pathlib import Path


def make_pair(folder: Path, name: str, *options: str) -> tuple[Path, Path]:
    """Return a certificate for this machine that speaks for itself, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", str(certificate), "-keyout", str(key)),
            *(options or ("-nodes",)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
