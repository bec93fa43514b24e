"""Edge maps of photographs, as input images (P Figs. 2 and 13): made once, kept in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import photograph_digest, read_photograph
from hdbench.data.sheets import Cell, contact_sheet, encode_png
from hdbench.provenance import digest
from hdbench.runtime.file_digests import FileDigests
from hdbench.runtime.progress import progress
from hdbench.schema.base import identity_of
from hdbench.schema.image_input import Edges, ImageInput
from hdbench.storage import write_atomically

#: Beside the maps: the settings with which they were made.
SETTINGS_FILE = "edges.json"
#: The text in a map's file that says what it was made from.
_SOURCE = "hdbench-source"


def edge_map(photograph: Tensor, settings: Edges) -> Tensor:
    """Return Canny's edges of a uint8 3 x H x W photograph: uint8 H x W, 255 on edges, else 0.

    scikit-image's ``canny`` on the luminance of ``rgb2gray``, from 0 to 1.
    """
    from skimage.color import rgb2gray
    from skimage.feature import canny

    grey = rgb2gray(photograph.permute(1, 2, 0).numpy())
    edges = canny(
        grey, sigma=settings.sigma, low_threshold=settings.low, high_threshold=settings.high
    )
    return torch.from_numpy(edges.astype(np.uint8) * 255)


def with_edge_maps(
    files: Sequence[SceneFiles],
    spec: ImageInput,
    folder: Path,
    digests: FileDigests,
    title: str = "drawing edges",
) -> list[SceneFiles]:
    """Return scenes whose inputs are the edge maps of their photographs, in a folder.

    Maps that are missing, or were made from another photograph or with other settings, are made;
    stopped, the same call goes on with the others.

    Raises:
        DataError: a photograph is damaged.
        StorageError: the folder cannot be written.
    """
    settings = spec.edges
    assert settings is not None
    contents = digests.of((entry.image for entry in files), photograph_digest)
    wanted = {
        entry.name: digest({"photograph": content, "edges": identity_of(settings), "version": 1})
        for entry, content in zip(files, contents, strict=True)
    }
    paths = {name: folder / f"{name}.png" for name in wanted}
    present = [name for name, path in paths.items() if path.is_file()]
    made_from = digests.of((paths[name] for name in present), edge_map_source)
    known = dict(zip(present, made_from, strict=True))
    missing = [entry for entry in files if known.get(entry.name) != wanted[entry.name]]
    if missing:
        facts = {"settings": identity_of(settings), "scikit-image": version("scikit-image")}
        content = json.dumps(facts, indent=2) + "\n"
        write_atomically(folder / SETTINGS_FILE, content.encode())
    for entry in progress(missing, desc=title, unit="photograph", delay=1):
        edges = edge_map(read_photograph(entry.image), settings)
        write_atomically(paths[entry.name], _encoded(edges, wanted[entry.name]))
    return [replace(entry, input=paths[entry.name], input_spec=spec) for entry in files]


def edge_map_source(path: Path) -> str:
    """Return the digest of what an edge map was made from; empty if its file does not say."""
    try:
        with Image.open(path) as image:
            image.load()  # a damaged map is made again
            return str(image.info.get(_SOURCE, ""))
    except (OSError, SyntaxError, ValueError):
        return ""


def edge_sheet(files: Sequence[SceneFiles], settings: Edges) -> Image.Image:
    """Return a sheet of photographs beside their edge maps, two scenes in a row."""
    strips = []
    for entry in files:
        photograph = read_photograph(entry.image)
        edges = edge_map(photograph, settings).expand(3, -1, -1)
        strips.append([Cell(entry.name, photograph), Cell("edges", edges)])
    pairs = [strips[n : n + 2] for n in range(0, len(strips), 2)]
    return contact_sheet([[cell for strip in pair for cell in strip] for pair in pairs])


def _encoded(edges: Tensor, source: str) -> bytes:
    facts = PngImagePlugin.PngInfo()
    facts.add_text(_SOURCE, source)
    return encode_png(Image.fromarray(edges.numpy()), pnginfo=facts)
