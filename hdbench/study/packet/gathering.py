"""The material of a study: images of methods in the workspace, and control scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from hdbench.data.layouts import SceneFiles, spread
from hdbench.errors import DataError, HdbenchError, LibraryError, UsageError, counted, listing
from hdbench.library.kinds import METHODS
from hdbench.schema.packet import Box, SkippedObject
from hdbench.schema.study import StudyProtocol
from hdbench.study.design.regions import largest_objects, require_regions
from hdbench.study.design.trials import controls_needed
from hdbench.workspace.bench import Bench
from hdbench.workspace.runs import require_own_images, seed_of


@dataclass(frozen=True)
class Material:
    """The material of a packet; images are paths."""

    #: Methods in the order given, the reference last.
    methods: list[str]
    #: Those whose images are the dataset's photographs, resized to the benchmark's size.
    photographic: set[str]
    #: The test scenes that are shown.
    scenes: list[SceneFiles]
    #: Test scenes of anchor trials, which no comparison shows.
    anchors: list[SceneFiles]
    #: By method and scene, in the order of ``StudyRecord.shown``.
    images: dict[tuple[str, str], Path]
    #: Training scenes for practice and checks, those for practice first.
    controls: list[SceneFiles]
    #: The outlined box of each scene and control scene; empty without regions.
    regions: dict[str, Box]
    #: Scenes and objects that regions leave out, and why.
    skipped: list[SkippedObject]
    #: Scenes that some method lacks and ``intersect`` left out.
    left_out: list[str]


def gather(
    bench: Bench,
    protocol: StudyProtocol,
    methods: Sequence[str],
    reference: str | None,
    run_seed: int,
    intersect: bool,
    most_scenes: int | None,
) -> Material:
    """Return the material of a study, checked without reading pixels.

    ``reference`` is a further method that all are compared with, usually ``oracle``, or None.
    ``intersect`` leaves out scenes that a method lacks, instead of an error. ``most_scenes`` are
    spread over the split; None for all but those of anchor trials.

    Raises:
        UsageError: fewer than two methods, a method named twice or with an unprintable name, more
            scenes than exist, or regions on a benchmark without them.
        LibraryError: a method is neither in the library nor in the workspace.
        DataError: images are missing, damaged or of another size; all are listed.
    """
    names = [*methods, *([] if reference is None else [reference])]
    _require_several(names)
    if protocol.checks.kind == "label" and not bench.benchmark.data.labelled:
        raise bench.benchmark.needs_labels(
            f"attention checks of study '{protocol.name}' show them; a protocol of your own with "
            "[checks] kind = 'blur' needs none"
        )
    every = names if protocol.anchor is None else [*names, protocol.anchor.method]
    set_aside = 0 if protocol.anchor is None else protocol.anchor.count
    scenes = bench.dataset.test_scenes
    _require_worse(bench, protocol, names)
    every, found, photographic = _images(bench, every, scenes, run_seed)
    names = every[: len(names)]
    scenes, left_out = _complete(bench, every, scenes, found, intersect)
    most = len(scenes) - set_aside
    if most_scenes is not None and most_scenes > most:
        raise UsageError(
            f"--scenes {most_scenes}: every method has images of {len(scenes)} scenes"
            + (f", of which anchor trials need {set_aside}" if set_aside else "")
            + "; expected at most that.\nNext: leave --scenes out to show all"
        )
    chosen = scenes if most_scenes is None else spread(scenes, most_scenes + set_aside)
    regions: dict[str, Box] = {}
    skipped: list[SkippedObject] = []
    if protocol.region.enabled:
        require_regions(bench, protocol.region)
        regions, skipped = largest_objects(bench, chosen, protocol.region)
        chosen = [entry for entry in chosen if entry.name in regions]
        if not chosen:
            raise DataError(
                f"no scene has a '{protocol.region.label}' of at least "
                f"{protocol.region.minimum_area:.2%} of the image; nothing can be outlined.\n"
                "Next: a smaller minimum_area, or another label, in a protocol of your own"
            )
    controls, control_regions = _controls(bench, protocol)
    anchors = spread(chosen, set_aside) if set_aside else []
    chosen = [entry for entry in chosen if entry not in anchors]
    if not chosen:
        raise DataError(
            f"study '{protocol.name}': its anchor trials need {counted(set_aside, 'scene')} of "
            f"{len(anchors)} with an image of every method; nothing is left to compare.\n"
            "Next: fewer anchor trials, in a protocol of your own"
        )
    images = {(name, entry.name): found[name][entry.name] for name in names for entry in chosen} | {
        (name, entry.name): found[name][entry.name] for name in every for entry in anchors
    }
    _require_size(bench, {key: path for key, path in images.items() if key[0] not in photographic})
    return Material(
        methods=names,
        photographic=photographic,
        scenes=chosen,
        anchors=anchors,
        images=images,
        controls=controls,
        regions=regions | control_regions,
        skipped=skipped,
        left_out=left_out,
    )


def _require_several(names: Sequence[str]) -> None:
    if len(names) < 2:
        raise UsageError(
            f"{names[0] if names else 'nothing'}: a study compares at least two methods.\n"
            "Next: '--methods ours,pix2pix', or '--reference oracle' to compare with photographs"
        )
    unseen = [repr(name) for name in names if not name.isprintable()]
    if unseen:
        raise UsageError(
            f"{', '.join(unseen)}: holds a character that cannot be printed; expected a name that "
            "tables and pages can show.\nNext: rename the method's folder in the workspace"
        )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UsageError(f"{', '.join(doubled)}: named twice; expected different methods")


def _require_worse(bench: Bench, protocol: StudyProtocol, compared: Sequence[str]) -> None:
    """Check that the method of anchor trials can be worse than what is compared."""
    if protocol.anchor is None:
        return
    name = protocol.anchor.method
    if name in compared:
        problem = "is among the compared methods"
    elif name in bench.library.entries(METHODS) and bench.library.method(name).shows_photographs:
        problem = "shows photographs"
    else:
        return
    raise UsageError(
        f"study '{protocol.name}': [anchor] method = '{name}' {problem}; expected a method that is "
        "not compared and known to be worse, usually a floor"
    )


def _images(
    bench: Bench, names: Sequence[str], scenes: Sequence[SceneFiles], run_seed: int
) -> tuple[list[str], dict[str, dict[str, Path]], set[str]]:
    """Return the methods' own names, their images by scene, and which show photographs."""
    own: list[str] = []
    found: dict[str, dict[str, Path]] = {}
    photographic: set[str] = set()
    for given in names:
        name, seed = given, 0
        try:
            method = bench.library.method(given)
        except LibraryError as error:
            # Images that another program put into the workspace need no file in the library.
            if "/" in given or not bench.image_folder(given, 0).is_dir():
                raise LibraryError(
                    f"{error}.\n"
                    "Next: 'hdbench import-images' brings in images that another program made"
                ) from None
        else:
            name, seed = method.name, seed_of(method, run_seed)
            require_own_images(bench, method, seed)
            if method.shows_photographs:
                if bench.edited is not None:
                    raise UsageError(
                        f"'{name}' shows photographs, which are of the scenes before the edits in "
                        f"{bench.edited}; leave it out"
                    )
                photographic.add(name)
        own.append(name)
        if name in photographic:
            found[name] = {entry.name: entry.image for entry in scenes}
            continue
        folder = bench.image_folder(name, seed)
        paths = {entry.name: folder / f"{entry.name}.png" for entry in scenes}
        found[name] = {scene: path for scene, path in paths.items() if path.is_file()}
        if not found[name]:
            raise HdbenchError(
                f"{folder}: '{name}' has no images of benchmark '{bench.benchmark.name}'.\n"
                f"Next: 'hdbench synthesize --method {name}'"
            )
    _require_several(own)  # a path and a name may be of one method
    return own, found, photographic


def _complete(
    bench: Bench,
    names: Sequence[str],
    scenes: Sequence[SceneFiles],
    found: Mapping[str, Mapping[str, Path]],
    intersect: bool,
) -> tuple[list[SceneFiles], list[str]]:
    """Return the scenes of which all methods have images, and the names of the others."""
    missing = [
        f"{name}: {entry.name}"
        for name in names
        for entry in scenes
        if entry.name not in found[name]
    ]
    if missing and not intersect:
        raise DataError(
            f"benchmark '{bench.benchmark.name}': {counted(len(missing), 'image')} missing\n"
            f"{listing(missing, limit=100)}\n"
            "Next: 'hdbench synthesize --method NAME' makes them; --intersect shows only the "
            "scenes that every method has, and the packet says so"
        )
    complete = [entry for entry in scenes if all(entry.name in found[name] for name in names)]
    if not complete:
        raise DataError(f"{', '.join(names)}: no scene has an image of each of them")
    kept = {entry.name for entry in complete}
    return complete, [entry.name for entry in scenes if entry.name not in kept]


def _require_size(bench: Bench, images: Mapping[tuple[str, str], Path]) -> None:
    """Check by their headers that all images have the benchmark's size."""
    width, height = bench.benchmark.size.width, bench.benchmark.size.height
    wrong = []
    for (method, scene), path in images.items():
        try:
            with Image.open(path) as image:
                size = image.size
        except (UnidentifiedImageError, OSError) as error:
            wrong.append(f"{method}: {scene}: {path} cannot be read ({error})")
            continue
        if size != (width, height):
            wrong.append(f"{method}: {scene}: {size[0]}x{size[1]}")
    if wrong:
        raise DataError(
            f"{counted(len(wrong), 'image')} of another size or unreadable; expected "
            f"{width}x{height}, the size of benchmark '{bench.benchmark.name}'\n"
            f"{listing(wrong, limit=100)}\n"
            "Next: import them at this size; images are not resized for a study, because "
            "participants would see the resizing"
        )


def _controls(bench: Bench, protocol: StudyProtocol) -> tuple[list[SceneFiles], dict[str, Box]]:
    """Return training scenes for practice and checks, spread over the split, and their boxes."""
    least, useful = controls_needed(protocol)
    if not useful:
        return [], {}
    tested = {entry.name for entry in bench.dataset.test_scenes}
    candidates = [entry for entry in bench.dataset.train_scenes if entry.name not in tested]
    regions: dict[str, Box] = {}
    if protocol.region.enabled:  # a check must look like a judgment, with an outline
        few = spread(candidates, 4 * useful)
        regions, _ = largest_objects(bench, few, protocol.region)
        candidates = [entry for entry in few if entry.name in regions]
    chosen = spread(candidates, useful)
    if len(chosen) < least:
        raise DataError(
            f"study '{protocol.name}': {protocol.practice.count} practice trials and "
            f"{protocol.checks.count} checks need {least} training scenes"
            + (f" with a '{protocol.region.label}'" if protocol.region.enabled else "")
            + f"; benchmark '{bench.benchmark.name}' has {len(chosen)}.\n"
            "Next: fewer of them, in a protocol of your own"
        )
    kept = {entry.name for entry in chosen}
    return chosen, {name: box for name, box in regions.items() if name in kept}
