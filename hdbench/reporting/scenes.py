"""The pictures of scenes on a report's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hdbench.data.inputs import paint_input
from hdbench.data.inspection import paint_boundaries
from hdbench.data.labels import VOID, LabelSpace
from hdbench.data.layouts import SceneFiles, spread
from hdbench.data.loading import read_scene
from hdbench.errors import counted
from hdbench.reporting.document import Picture, SceneStrip, Section
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.passes import as_seen, prepared_image
from hdbench.segmentation.prediction import predict
from hdbench.segmentation.segmenter import Segmenter


@dataclass(frozen=True)
class Gallery:
    """The scenes whose images a report's page shows."""

    scenes: list[SceneFiles]
    space: LabelSpace
    benchmark: Benchmark
    scoring: Scoring
    segmenter: Segmenter
    #: By method, the image of each scene; at least one method.
    images: Mapping[str, list[Path]]
    #: How many scenes, spread evenly over the split.
    count: int

    def section(self) -> Section:
        """Return the pictures as a section of a page."""
        strips = self.strips()
        return Section(
            "Pictures",
            remarks=[
                f"{counted(len(strips), 'scene')} spread evenly over the test split, not chosen by "
                "eye. Black in the segmenter's predictions is void, which is not scored."
            ],
            strips=strips,
            legend=self.space.legend(strip.label for strip in strips),
            in_summary=False,
        )

    def strips(self) -> list[SceneStrip]:
        """Return the pictures of each scene that is shown.

        These are labels, boundaries, the image of each method, the photograph, and the segmenter's
        prediction on the first method's image and on the photograph.
        """
        size = self.benchmark.size
        strips = []
        for n, files in spread(list(enumerate(self.scenes)), self.count):
            native = read_scene(files, self.space)
            scene = native.resized(size.height, size.width)
            assert scene.image is not None
            made = {
                name: prepared_image(paths[n], self.benchmark, photograph=False)
                for name, paths in self.images.items()
            }
            given = []
            if scene.input is not None and scene.input_spec is not None:
                shown = paint_input(scene.input, scene.input_spec)
                given.append(Picture("input", shown, False))
            pictures = [
                *given,
                Picture("labels", self.space.paint(scene.label), False),
                Picture("boundaries", paint_boundaries(scene.regions), False),
                *(Picture(f"synthesized by {name}", image, True) for name, image in made.items()),
                Picture("photograph", scene.image, True),
            ]
            void = self.space.to_train_ids(scene.label) == VOID
            first = next(iter(made))
            for caption, pixels in ((first, made[first]), ("photograph", scene.image)):
                policy = self.scoring.segmenter
                pixels = as_seen(pixels, policy, self.benchmark, native.size)
                seen = predict(self.segmenter, pixels, size.height, size.width, policy)
                seen[void] = VOID
                picture = self.space.paint_train_ids(seen)
                pictures.append(Picture(f"segmenter on {caption}", picture, False))
            strips.append(SceneStrip(files.name, scene.label, [pictures]))
        return strips
