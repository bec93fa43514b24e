"""``hdbench edit``: a trained method, its scenes and its sessions, ready to be edited."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from pydantic import ValidationError

from hdbench.data.layouts import SceneFiles, spread
from hdbench.data.loading import read_scene
from hdbench.data.scene import Scene
from hdbench.editing.apply import Context
from hdbench.editing.export import export_scene
from hdbench.editing.photograph import fitted, read_upload, scene_of_photograph
from hdbench.editing.rendering import Renderer, StyleNetworks
from hdbench.editing.session import SESSION_SUFFIX, BaseScene, Session, parse_base
from hdbench.editing.shapes import shapes_of
from hdbench.editing.state import Regions
from hdbench.errors import CheckpointError, UsageError, counted, suggestion
from hdbench.networks.builder import build_encoder, limits_of
from hdbench.provenance import digest
from hdbench.runtime.devices import require_precision
from hdbench.runtime.progress import progress
from hdbench.runtime.weights import load_weights
from hdbench.schema.editing import Operation, Script
from hdbench.schema.method import GeneratorMethod, require_generator
from hdbench.schema.record import first_problem, parse_json
from hdbench.segmentation.prediction import seen_size
from hdbench.storage import read_bytes, write_atomically
from hdbench.styles import DEFAULT_STYLE
from hdbench.synthesis import load_generator
from hdbench.workflows.styles import require_styles
from hdbench.workspace.bench import Bench
from hdbench.workspace.runs import generator_file
from hdbench.workspace.segmenters import open_segmenter
from hdbench.workspace.styles import trained_encoder

#: Scenes whose instances are offered as stamps.
_SCENES_OF_SHAPES = 40


@dataclass(frozen=True)
class Studio:
    """A method and the scenes of a benchmark, ready to be edited."""

    bench: Bench
    method: GeneratorMethod
    seed: int
    device: torch.device
    #: Height and width of all scenes.
    size: tuple[int, int]
    renderer: Renderer
    #: Where sessions lie.
    folder: Path

    @cached_property
    def scenes(self) -> dict[str, SceneFiles]:
        """The test scenes by name."""
        return {entry.name: entry for entry in self.bench.dataset.test_scenes}

    @cached_property
    def context(self) -> Context:
        """Classes, ids, shapes and styles that edits refer to."""
        some = [self.read(entry) for entry in spread(list(self.scenes.values()), _SCENES_OF_SHAPES)]
        ids = Regions.of(some)
        styles = None if self.renderer.styles is None else self.renderer.styles.centres
        return Context(self.bench.space, ids, shapes_of(some, ids.things), styles)

    def read(self, files: SceneFiles, photograph: bool = False) -> Scene:
        """Return a scene at the size of the editing."""
        return read_scene(files, self.bench.space, photograph).resized(*self.size)

    def session_path(self, name: str) -> Path:
        """Return where the session of a scene lies."""
        height, width = self.size
        at = "" if self.size == _size_of(self.bench) else f".{width}x{height}"
        return self.folder / f"{name}{at}{SESSION_SUFFIX}"

    @property
    def encoder(self) -> str | None:
        """Digest of the encoder that styles are of; None: the method has no styles."""
        return None if self.renderer.styles is None else self.renderer.styles.digest

    def load(self, path: Path) -> Session:
        """Return the session of a file of the folder, as it was left.

        Raises:
            DataError: it is damaged.
            UsageError: its styles are of another encoder: the method was trained again.
        """
        session = Session.load(path, self.context)
        self._require_own_styles(session.base, str(path))
        return session

    def _require_own_styles(self, base: BaseScene, name: str) -> None:
        if base.encoder not in (None, self.encoder):
            raise UsageError(
                f"{name}: its styles are of another encoder ({str(base.encoder)[:12]}) than that "
                f"of '{self.method.name}' ({str(self.encoder)[:12]}).\n"
                "Next: move the file away to begin anew"
            )

    def open_scene(self, name: str) -> Session:
        """Return the session of a test scene, as it was left; a new one if there is none.

        Raises:
            UsageError: there is no such scene.
            DataError: the session's file, or the scene's, is damaged.
        """
        if name not in self.scenes:
            near = suggestion(name, self.scenes)
            raise UsageError(f"'{self.bench.benchmark.name}' has no test scene '{name[:80]}'{near}")
        path = self.session_path(name)
        if path.is_file():
            return self.load(path)
        base = BaseScene(self.read(self.scenes[name], photograph=True), {}, self.encoder)
        return Session.create(path, base, self.context)

    def open_photograph(self, content: bytes, name: str) -> Session:
        """Return the session of a photograph: labels by the segmenter, styles by the encoder.

        The same photograph has the same session, as it was left. Raises DataError if it is not a
        photograph, and what ``open_segmenter`` raises.
        """
        scene = f"photograph-{hashlib.sha256(content).hexdigest()[:12]}"
        path = self.session_path(scene)
        if path.is_file():
            return self.load(path)
        image = fitted(read_upload(content, name), *self.size)
        segmenter = open_segmenter(self.bench, None, self.device)
        policy, benchmark = self.bench.scoring.segmenter, self.bench.benchmark
        seen = seen_size(policy, benchmark.size, _size_of(self.bench))
        first = next(iter(self.scenes.values()))
        instances = first.instance is not None
        ids, space = self.context.ids, self.bench.space
        found = scene_of_photograph(scene, image, segmenter, policy, seen, space, ids, instances)
        styles = {}
        if self.renderer.styles is not None:
            styles = self.renderer.encoded(image, found.regions)
        return Session.create(path, BaseScene(found, dict(styles), self.encoder), self.context)

    def open_file(self, content: bytes, name: str) -> Session:
        """Return the session that a file holds, kept in the folder of sessions from now on.

        Raises:
            DataError: it is no session's file, or damaged.
            UsageError: it is of another size, or its edits do not fit.
        """
        base = parse_base(content, name, self.bench.space)
        if base.scene.size != self.size:
            raise UsageError(
                f"{name}: a scene of {base.scene.size[1]}x{base.scene.size[0]}; "
                f"{self.size[1]}x{self.size[0]} is edited here"
            )
        self._require_own_styles(base, name)
        path = self.session_path(f"loaded-{hashlib.sha256(content).hexdigest()[:12]}")
        if not path.is_file():
            write_atomically(path, content if content.endswith(b"\n") else content + b"\n")
            try:
                return Session.load(path, self.context)
            except BaseException:
                path.unlink()
                raise
        return Session.load(path, self.context)

    def export(self, session: Session, folder: Path, name: str, title: str = "") -> Path:
        """Write a session's scene into a folder of edited scenes; return the path of its image."""
        space, method = self.bench.space, self.method.name
        return export_scene(folder, session, self.renderer, space, method, name, title)


#: What is edited where no method is named: the first of these that is trained, or ships.
DEFAULT_METHODS = ("ours-styles", "ours")


def default_method(bench: Bench, seed: int) -> str:
    """Return the method that is edited where none is named.

    Raises:
        CheckpointError: none of them is trained to its end, and none ships.
    """
    problems = []
    for name in DEFAULT_METHODS:
        try:
            generator_file(bench, require_generator(bench.library.method(name)), seed)
        except CheckpointError as error:
            problems.append(error)
        else:
            return name
    raise problems[0]


def open_studio(
    bench: Bench,
    name: str,
    seed: int,
    device: torch.device,
    size: tuple[int, int] | None = None,
) -> Studio:
    """Return a method and the scenes of a benchmark, ready to be edited.

    ``size`` is height and width; None is the benchmark's.

    Raises:
        CheckpointError: the method is not trained to its end, and none ships.
        UsageError: it has no generator, makes images of other things than labels, or cannot make
            images of this size.
    """
    method = require_generator(bench.library.method(name))
    benchmark = bench.benchmark
    if benchmark.input is not None or not benchmark.data.labelled:
        raise benchmark.needs_labels("edits change them")
    limits, space = limits_of(benchmark), bench.space
    weights = generator_file(bench, method, seed)
    exact = load_generator(method, limits, space, weights, device)
    size = size or _size_of(bench)
    if any(side % exact.divisor or side < 2 * exact.divisor for side in size):
        raise UsageError(
            f"--size {size[1]}x{size[0]}: the generator of '{method.name}' needs sides that divide "
            f"by {exact.divisor}"
        )
    quick = None
    with contextlib.suppress(UsageError):  # without instructions for bf16, previews are exact
        require_precision("bf16", device)
        quick = load_generator(method, limits, space, weights, device, precision="bf16")
    styles = None
    if method.encoder is not None:
        path, its_digest = trained_encoder(bench, method, seed)
        encoder = build_encoder(method, limits)
        assert encoder is not None
        load_weights(path, encoder)
        centres = require_styles(bench, method, seed, device, DEFAULT_STYLE)
        styles = StyleNetworks(encoder, its_digest, centres)
    run = bench.run_folder(method.name, seed)
    folder = bench.workspace.root / "edits" / run.relative_to(bench.workspace.root / "runs")
    return Studio(bench, method, seed, device, size, Renderer(exact, quick, styles), folder)


def read_script(path: Path) -> Script:
    """Return a script of edits; raises UsageError with the first thing that is wrong in it."""
    content = read_bytes(path)
    try:
        parse_json(content)
        return Script.model_validate_json(content)
    except ValidationError as error:
        raise UsageError(f"{path}: {first_problem(error)}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not readable as JSON ({error})") from None


def run_script(
    studio: Studio, script: Script, folder: Path, tell: Callable[[str], None]
) -> list[Path]:
    """Carry out a script of edits without a browser, and export every scene of it.

    Nothing is exported before all edits of all scenes are known to fit.

    Raises:
        UsageError: an edit does not fit its scene; the message names scene and edit.
    """
    names = [entry.name or f"{entry.scene}-edited" for entry in script.scenes]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UsageError(f"{', '.join(doubled)}: the name of two scenes; give each a name")
    sessions = []
    for name, entry in zip(names, script.scenes, strict=True):
        if entry.scene not in studio.scenes:
            near = suggestion(entry.scene, studio.scenes)
            raise UsageError(f"scene '{name}': no test scene '{entry.scene}'{near}")
        base = BaseScene(
            studio.read(studio.scenes[entry.scene], photograph=True), {}, studio.encoder
        )
        path = studio.folder / "scripted" / f"{name}{SESSION_SUFFIX}"
        session = Session.create(path, base, studio.context)
        for number, edit in enumerate(entry.edits, 1):
            operation = Operation(
                id=digest([name, number])[:32], revision=session.revision, edit=edit
            )
            try:
                session.carry_out(operation)
            except UsageError as error:
                raise UsageError(f"scene '{name}', edit {number} ({edit.do}): {error}") from None
        sessions.append(session)
    images = []
    items = list(zip(names, script.scenes, sessions, strict=True))
    for name, entry, session in progress(items, desc="editing", unit="scene", delay=2):
        images.append(studio.export(session, folder, name, entry.title))
        tell(f"{name}: {counted(len(entry.edits), 'edit')}")
    return images


def _size_of(bench: Bench) -> tuple[int, int]:
    return bench.benchmark.size.height, bench.benchmark.size.width
