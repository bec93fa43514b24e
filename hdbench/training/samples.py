"""Sample sheets: what a generator makes of a few training scenes, while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from hdbench.data.inputs import source_cell
from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles, spread
from hdbench.data.loading import read_scene
from hdbench.data.scene import Batch, collate
from hdbench.data.sheets import Cell, contact_sheet, write_sheet
from hdbench.evaluation.spots import spot_metrics
from hdbench.schema.benchmark import Size

#: The folder of a run's sample sheets.
SAMPLES = "samples"
_SCENES = 4


class SampleSheets:
    """Draws sheets of what images are made from, of these images, and of photographs."""

    def __init__(
        self, folder: Path, files: list[SceneFiles], space: LabelSpace, size: Size
    ) -> None:
        self._folder, self._space = folder / SAMPLES, space
        self._scenes = [
            read_scene(entry, space).resized(size.height, size.width)
            for entry in spread(files, _SCENES)
        ]

    def draw(self, synthesize: Callable[[Batch], Tensor], step: int) -> dict[str, float]:
        """Draw the sheet of a step, and return what ``spot_metrics`` says of its images."""
        rows, images, photographs = [], [], []
        for scene in self._scenes:
            assert scene.image is not None
            images.append(synthesize(collate([scene]))[0])
            photographs.append(scene.image)
            rows.append(
                [
                    source_cell(scene, self._space),
                    Cell(f"synthesized, step {step}", images[-1]),
                    Cell("photograph", scene.image),
                ]
            )
        write_sheet(contact_sheet(rows), self._folder / f"step-{step:08d}.png")
        return spot_metrics(images, photographs)


class SpotWatch:
    """Says when a sample sheet has more light spots than every sheet before it."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """``rows`` are the metrics of the steps before."""
        self._most = max((row["spots"] for row in rows if "spots" in row), default=0.0)

    def rise(self, spots: float, step: int) -> str | None:
        """Return a line to print if ``spots``, light spots per image, is a new maximum."""
        if spots <= self._most:
            return None
        before, self._most = self._most, spots
        return (
            f"step {step}: {spots:g} light spots per image on the sample sheet, at most "
            f"{before:g} before; if they stay, see ours-reflection-padding"
        )
