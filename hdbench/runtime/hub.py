"""Repositories of the Hugging Face hub, read from this machine's cache."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hdbench.errors import CheckpointError, UsageError

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def repository_folder(source: str, files: Sequence[str], download: bool) -> Path:
    """Return a model's local folder: ``source`` itself, or the cached repository of that id.

    With ``download`` the files that the cache lacks are fetched; otherwise no network is used.

    Raises:
        UsageError: it is neither a folder nor a hub id.
        CheckpointError: the cache lacks it, or it cannot be fetched.
    """
    if Path(source).is_dir():
        return Path(source)
    if not _HUB_ID.fullmatch(source):
        raise UsageError(f"{source}: neither a folder nor a hub id (owner/name)")
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(source, allow_patterns=list(files), local_files_only=not download)
    except HFValidationError as error:
        raise UsageError(f"{source}: no hub id ({str(error)[:160]})") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        first = str(error).strip().splitlines()[0][:160] if str(error).strip() else ""
        why = f"cannot be fetched ({first})" if download else "is not in this machine's cache"
        raise CheckpointError(
            f"{source}: {why}; looked in {constants.HF_HUB_CACHE} for {', '.join(files)}.\n"
            f"Next: on a connected machine 'hf download {source}' and copy the cache's folder "
            f"models--{source.replace('/', '--')} here, or pass --download, or name a local folder"
        ) from None
    return Path(found)


def weights_in(folder: Path, names: Sequence[str]) -> Path:
    """Return the first of the named files that a folder has; raises CheckpointError if none."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder}: no weights here; expected one of {', '.join(names)}")
