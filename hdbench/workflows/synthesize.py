"""The images of a method on a benchmark: made where they are missing or stale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from hdbench.data.layouts import SceneFiles
from hdbench.errors import UsageError
from hdbench.networks.builder import limits_of
from hdbench.provenance import digest
from hdbench.runtime.devices import Precision, require_precision
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.schema.method import Floor, GeneratorMethod, Method
from hdbench.schema.styles import Styles
from hdbench.styles import DEFAULT_STYLE, Style, Styling
from hdbench.synthesis import (
    Synthesizer,
    floor_synthesizer,
    image_paths,
    load_generator,
    missing_images,
    write_images,
)
from hdbench.workflows.styles import styling_of
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import imported_paths
from hdbench.workspace.runs import generator_file, images_identity, require_own_images
from hdbench.workspace.styles import load_styles, require_encoder


def synthesize_method(
    bench: Bench,
    method: Method,
    seed: int,
    device: torch.device,
    training: bool = False,
    style: Style = DEFAULT_STYLE,
    precision: Precision = "fp32",
    ranks: Ranks = ALONE,
) -> list[Path]:
    """Make the images of a method that are missing and return the paths of all.

    The oracle's are the dataset's own photographs, an imported method's what was imported.
    ``training`` makes those of the training split, which nobody imports images of, instead of the
    test split. ``style`` matters where a method has an encoder; images of another style than the
    default, which is the one that is scored, lie in a folder of their own. So do those of another
    ``precision`` than fp32, which are never scored as the method's either. ``ranks`` share the
    images.

    Raises:
        CheckpointError: the run is not trained to its end, or is of another configuration.
        DataError: imported images are missing, or are not those that were imported.
        HdbenchError: the centres of a method's styles are of another run.
        UsageError: ``style`` is not the default, and the method has no encoder; or its centre does
            not exist. Or ``precision`` is bf16, and no network makes the images, or the device
            has no instructions for it.
    """
    require_precision(precision, device)
    if precision != "fp32" and method.images_from not in ("generator", "weights"):
        raise UsageError(
            f"precision {precision}: no network makes the images of '{method.name}'; expected a "
            "method that is trained, or imported weights.\nNext: leave the precision out"
        )
    if style != DEFAULT_STYLE:
        require_encoder(method)
    with ranks.first_alone():  # built-in scenes are drawn once
        scenes = bench.dataset.train_scenes if training else bench.dataset.test_scenes
    require_made_here(bench, method, training)
    if method.images_from == "dataset":
        return [entry.image for entry in scenes]
    if method.images_from == "import":
        assert not training
        return imported_paths(bench, method)
    if method.images_from == "floor" and not bench.benchmark.data.labelled:
        raise bench.benchmark.needs_labels("floors copy training photographs by them")
    suffix = style.folder_suffix + ("" if precision == "fp32" else f".{precision}")
    ranks.from_first(lambda: require_own_images(bench, method, seed, training, suffix))
    sources, styling = _sources(bench, method, seed, device, training, style, precision, ranks)
    return write_images(
        lambda: _synthesizer(bench, method, seed, device, styling, precision),
        scenes,
        bench.space,
        bench.benchmark,
        bench.image_folder(method.name, seed, training, suffix),
        sources=sources,
        title=f"synthesizing {method.name}"
        + ("" if style == DEFAULT_STYLE else f" in style {style}")
        + ("" if precision == "fp32" else f" in {precision}"),
        photographs=style.kind == "encode",
        ranks=ranks,
    )


def require_made_here(bench: Bench, method: Method, training: bool = False) -> None:
    """Raise UsageError if edited scenes are asked of a method whose images are not made here."""
    if bench.edited is not None and not training and method.images_from in ("dataset", "import"):
        what = "photographs show the scenes before the edits"
        if method.images_from == "import":
            what = "its images were imported, of the test scenes"
        raise UsageError(f"'{method.name}' has no images of {bench.edited}: {what}")


def images_left(bench: Bench, method: Method, seed: int, device: torch.device) -> int:
    """Return how many test images ``synthesize_method`` would make; it makes none here.

    Raises:
        CheckpointError: the run is not trained to its end, or is of another configuration.
        HdbenchError: the centres of a method's styles are of another run.
    """
    if method.images_from == "dataset" or method.images_from == "import":
        return 0
    scenes = bench.dataset.test_scenes
    if method.images_from != "floor" and method.encoder is not None:
        generator_file(bench, method, seed)
        if not isinstance(load_styles(bench, method, seed), Styles):  # made with the first image
            return len(scenes)
    sources, _ = _sources(bench, method, seed, device, False, DEFAULT_STYLE)
    return len(missing_images(scenes, bench.image_folder(method.name, seed), sources))


def _sources(
    bench: Bench,
    method: GeneratorMethod | Floor,
    seed: int,
    device: torch.device,
    training: bool,
    style: Style,
    precision: Precision = "fp32",
    ranks: Ranks = ALONE,
) -> tuple[list[str], Styling | None]:
    """Return a digest of all that each image is made from, and what gives scenes their styles."""
    made_by, styling = [digest(images_identity(bench, method, seed))], None
    if precision != "fp32":  # what was made before there was another precision stays current
        made_by.append(precision)
    if method.images_from != "floor":
        made_by += bench.file_digests.of([generator_file(bench, method, seed)])
        if method.encoder is not None:
            styling, its = styling_of(bench, method, seed, device, style, ranks)
            made_by += its
    data = bench.dataset
    if style.kind == "encode":
        scenes = data.train_scenes if training else data.test_scenes
        sources = data.source_digests(scenes)
        digests = [[*one, *its] for one, its in zip(data.digests(scenes), sources, strict=True)]
    else:
        digests = data.train_source_digests if training else data.test_source_digests
    return [digest([*made_by, *maps]) for maps in digests], styling


def synthesize_again(
    bench: Bench,
    method: Method,
    seed: int,
    device: torch.device,
    scenes: Sequence[SceneFiles],
    folder: Path,
) -> list[Path]:
    """Make the images of some test scenes anew, into a folder of their own; return their paths.

    The oracle's are the dataset's own photographs; what was imported cannot be made here, so the
    stored files are taken.

    Raises:
        CheckpointError: the run is not trained to its end, or is of another configuration.
        DataError: imported images are missing, or are not those that were imported.
    """
    if method.images_from == "dataset":
        return [scene.image for scene in scenes]
    if method.images_from == "import":
        imported_paths(bench, method)
        return image_paths(bench.image_folder(method.name, seed), scenes)
    styling = None
    if method.images_from != "floor" and method.encoder is not None:
        styling, _ = styling_of(bench, method, seed, device, DEFAULT_STYLE)
    return write_images(
        lambda: _synthesizer(bench, method, seed, device, styling),
        scenes,
        bench.space,
        bench.benchmark,
        folder,
        sources=[scene.name for scene in scenes],
        title=f"synthesizing {method.name} again",
    )


def _synthesizer(
    bench: Bench,
    method: GeneratorMethod | Floor,
    seed: int,
    device: torch.device,
    styling: Styling | None,
    precision: Precision = "fp32",
) -> Synthesizer:
    if method.images_from == "floor":
        return floor_synthesizer(method, bench.dataset.training_set)
    weights = generator_file(bench, method, seed)
    benchmark = bench.benchmark
    generator = load_generator(
        method, limits_of(benchmark), bench.space, weights, device, benchmark.input, precision
    )
    return generator if styling is None else lambda scene: generator(scene, styling(scene))
