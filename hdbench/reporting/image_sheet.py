"""A contact sheet of synthesized images beside the photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from hdbench.data.inputs import source_cell
from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles, spread
from hdbench.data.loading import read_scene
from hdbench.data.sheets import Cell, contact_sheet
from hdbench.schema.benchmark import Benchmark
from hdbench.segmentation.passes import prepared_image

_LONGEST = 8  # scenes in one column; more scenes are laid out in two columns


def image_sheet(
    scenes: Sequence[SceneFiles],
    images: Mapping[str, Sequence[Path]],
    space: LabelSpace,
    benchmark: Benchmark,
    count: int,
) -> Image.Image:
    """Return a sheet of scenes: labels or input, the image of each method, the photograph.

    ``count`` scenes are spread evenly over the split. With more than 8, these are left out and
    there are two columns of scenes.
    """
    size, many = benchmark.size, count > _LONGEST
    strips = []
    for n, files in spread(list(enumerate(scenes)), count):
        scene = read_scene(files, space).resized(size.height, size.width)
        assert scene.image is not None
        strip = [] if many else [source_cell(scene, space)]
        for method, paths in images.items():
            image = prepared_image(paths[n], benchmark, photograph=False)
            strip.append(Cell(f"{method}: {scene.name}", image))
        strips.append([*strip, Cell("photograph", scene.image)])
    if not many:
        return contact_sheet(strips)
    half = -(-len(strips) // 2)
    pairs = zip(strips[:half], [*strips[half:], []][:half], strict=True)
    return contact_sheet([[*left, *right] for left, right in pairs])
