"""Sample sheets: what a generator makes of a few training scenes, while it is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles, spread
from hdbench.data.loading import read_scene
from hdbench.data.scene import Batch, collate
from hdbench.data.sheets import Cell, contact_sheet, write_sheet, write_sheet_page
from hdbench.schema.benchmark import Size

#: The folder of a run's sample sheets.
SAMPLES = "samples"
_SCENES = 4


class SampleSheets:
    """Draws sheets of labels, synthesized images and photographs, and a page that shows them."""

    def __init__(
        self, folder: Path, title: str, files: list[SceneFiles], space: LabelSpace, size: Size
    ) -> None:
        self._folder, self._title, self._space = folder / SAMPLES, title, space
        self._scenes = [
            read_scene(entry, space).resized(size.height, size.width)
            for entry in spread(files, _SCENES)
        ]

    def draw(self, synthesize: Callable[[Batch], Tensor], step: int, finished: bool) -> None:
        """Draw a sheet and update the page."""
        rows = []
        for scene in self._scenes:
            assert scene.image is not None
            rows.append(
                [
                    Cell(f"labels of {scene.name}", self._space.paint(scene.label)),
                    Cell(f"synthesized, step {step}", synthesize(collate([scene]))[0]),
                    Cell("photograph", scene.image),
                ]
            )
        write_sheet(contact_sheet(rows), self._folder / f"step-{step:08d}.png")
        write_sheet_page(self._folder, self._title, finished)
