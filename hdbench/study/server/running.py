"""What a study's server needs beside its packet: the researcher's token, its public address."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from hdbench.errors import UsageError
from hdbench.storage import cannot_write, read_bytes, write_atomically
from hdbench.study.packet.files import RESULTS_FOLDER
from hdbench.web.guard import new_token

#: Beside the answers; only the researcher may read it.
TOKEN_FILE = "researcher.token"


def researcher_token(packet: Path) -> str:
    """Return the token of a packet's researcher, which stays the same when a server starts again.

    Raises:
        StorageError: it cannot be written.
    """
    path = packet / RESULTS_FOLDER / TOKEN_FILE
    if path.is_file():
        token = read_bytes(path).decode(errors="replace").strip()
        if re.fullmatch("[0-9a-f]{32}", token):
            return token
    token = new_token()
    write_atomically(path, f"{token}\n".encode())
    try:
        path.chmod(0o600)
    except OSError as error:
        raise cannot_write(path, error) from error
    return token


def public_address(text: str) -> str:
    """Return the address of a server as participants know it, with a slash at its end.

    Raises:
        UsageError: it is not the root of a host.
    """
    parts = urlsplit(text)
    whole = f"{text.rstrip('/')}/"
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or whole != f"{parts.scheme}://{parts.netloc}/"
    ):
        raise UsageError(
            f"--url {text}: expected the root of a host, such as https://study.example.org/"
        )
    return whole
