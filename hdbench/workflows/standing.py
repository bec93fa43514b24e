"""How far each phase of a queue's work is, as the verbs that skip what is done decide it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hdbench.errors import HdbenchError
from hdbench.library import CARD_FILE
from hdbench.perceptual.training import perceptual_identity
from hdbench.perceptual.training import recipe_of as perceptual_recipe
from hdbench.runtime.checkpoint import Checkpoints
from hdbench.runtime.claims import IDENTITY_FILE, require_identity
from hdbench.runtime.devices import Machine
from hdbench.schema.benchmark import OWN
from hdbench.schema.generator import GENERATOR_WEIGHTS
from hdbench.schema.method import Method
from hdbench.schema.perceptual import PERCEPTUAL_CARD
from hdbench.schema.result import Result
from hdbench.schema.split import Split
from hdbench.segmentation.segmenter import SegmenterCard, read_card
from hdbench.segmentation.training import require_trained_for
from hdbench.streets.files import folder_name, missing_scenes
from hdbench.workflows.evaluate import with_floors
from hdbench.workflows.phases import splits_of, trained_of
from hdbench.workflows.queue import Phase, Work
from hdbench.workflows.synthesize import images_left
from hdbench.workspace.bench import Bench
from hdbench.workspace.fingerprint import native_scoring
from hdbench.workspace.results import load_if_current
from hdbench.workspace.runs import images_identity
from hdbench.workspace.segmenters import (
    recipe_of,
    segmenter_card,
    segmenter_folder,
    training_data,
)
from hdbench.workspace.start import CHECKPOINTS


@dataclass(frozen=True)
class Standing:
    """How far a phase is."""

    state: Literal["done", "resumes", "to do", "refused"]
    #: Steps of a training that are saved, or scenes and images that are there.
    there: int = 0
    #: Why the phase is refused as things are.
    reason: str = ""

    @property
    def words(self) -> str:
        """The standing in words."""
        return f"resumes at step {self.there}" if self.state == "resumes" else self.state


DONE, TO_DO = Standing("done"), Standing("to do")


def standings(bench: Bench, work: Work, machine: Machine) -> dict[Phase, Standing]:
    """Return how far each phase of a piece of work is; nothing is computed or drawn for it."""
    found: dict[Phase, Standing] = {}
    for phase in work.phases:
        if any(one.state != "done" for one in found.values()):
            found[phase] = TO_DO
            continue
        try:
            found[phase] = _standing(bench, work, phase, machine)
        except HdbenchError as error:
            found[phase] = Standing("refused", reason=str(error))
    return found


def _standing(bench: Bench, work: Work, phase: Phase, machine: Machine) -> Standing:
    if phase == "draw":
        return _drawn(bench)
    if phase == "train":
        return _trained(bench, work)
    if phase == "synthesize":
        method = bench.library.method(work.method)
        count = len(bench.dataset.test_scenes)
        left = images_left(bench, method, work.seed, machine.device)
        return DONE if left == 0 else Standing("to do", count - left)
    return _scored(bench, work)


def scenes_to_draw(bench: Bench) -> dict[str, int]:
    """Return how many built-in scenes of each split are not drawn yet."""
    size = bench.benchmark.size
    root = bench.workspace.built_in_data(folder_name(size.width, size.height))
    splits = map(Split.parse, splits_of(bench.benchmark))
    return {one.name: len(missing_scenes(root, one.name, one.count)) for one in splits}


def _drawn(bench: Bench) -> Standing:
    return TO_DO if any(scenes_to_draw(bench).values()) else DONE


def _trained(bench: Bench, work: Work) -> Standing:
    if work.kind == "run":
        own = bench.perceptual_folder() / PERCEPTUAL_CARD
        if "perceptual" in work.needs and not own.is_file():
            return TO_DO
        method = trained_of(bench, work)
        return _training(
            bench.run_folder(method.name, work.seed),
            GENERATOR_WEIGHTS,
            lambda folder: require_identity(folder, images_identity(bench, method, work.seed)),
        )
    if work.kind == "perceptual":
        return _training(
            bench.perceptual_folder(),
            PERCEPTUAL_CARD,
            lambda folder: require_identity(folder, _perceptual_identity(bench)),
        )
    second = work.kind == "second-segmenter"
    learner = recipe_of(bench, second)
    return _training(
        bench.segmenter_folder(second),
        CARD_FILE,
        lambda folder: require_trained_for(learner.benchmark, 0, training_data(learner), folder),
    )


def _training(folder: Path, finished: str, require: Callable[[Path], None]) -> Standing:
    """Return how far the training in a folder is; ``require`` checks its identity."""
    if not (folder / IDENTITY_FILE).is_file():
        return TO_DO
    require(folder)
    if (folder / finished).is_file():
        return DONE
    saved = Checkpoints(folder / CHECKPOINTS).paths()
    return Standing("resumes", int(saved[-1].stem.rpartition("-")[2])) if saved else TO_DO


def _perceptual_identity(bench: Bench) -> dict[str, object]:
    scenes = bench.dataset.scenes(perceptual_recipe(bench.benchmark).split)
    return perceptual_identity(bench.benchmark, 0, bench.dataset.digests(scenes))


def _scored(bench: Bench, work: Work) -> Standing:
    cards = _cards(bench)
    if cards is None:
        return TO_DO
    if work.kind == "run":
        methods: list[Method] = [bench.library.method(work.method)]
    else:
        methods = list(with_floors(bench, work.methods, "oracle").values())
    whole = all(_is_scored(bench, one, work.seed, card) for one in methods for card in cards)
    return DONE if whole else TO_DO


def _is_scored(bench: Bench, method: Method, seed: int, card: SegmenterCard) -> bool:
    scorings = [bench.scoring]
    if method.shows_photographs:
        native = native_scoring(bench, bench.scoring, card)
        scorings += [] if isinstance(native, str) else [native]
    return all(
        isinstance(load_if_current(bench, method, seed, scoring, card), Result)
        for scoring in scorings
    )


def _cards(bench: Bench) -> list[SegmenterCard] | None:
    """Return the cards of the segmenters that score; None while one is not trained yet."""
    second = bench.benchmark.second_segmenter
    for one, folder in (
        (bench.benchmark.required_segmenter, bench.segmenter_folder()),
        (second, bench.segmenter_folder(second=True)),
    ):
        if one is not None and one.name == OWN and not (folder / CARD_FILE).is_file():
            return None
    cards = [segmenter_card(bench)]
    if second is not None:
        cards.append(read_card(segmenter_folder(bench, second=True)))
    return cards
