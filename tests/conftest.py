"""A small dataset in CamVid's layout, a benchmark that fits it, and ways to run hdbench."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browsers import browser, browser_page, playwright  # noqa: F401 (fixtures)
from click.testing import CliRunner, Result
from matplotlib.figure import Figure
from PIL import Image

from hdbench.data.labels import LabelSpace, shipped_space
from hdbench.evaluation.recounting import rescored_many
from hdbench.library import Library, library_root
from hdbench.networks.perceptual import PerceptualNetwork
from hdbench.perceptual.files import save_perceptual
from hdbench.reporting import document, score_sections
from hdbench.reporting.style import png_of, svg_of
from hdbench.reporting.training_page import TrainingPage
from hdbench.runtime.devices import Machine
from hdbench.runtime.weights import halve_parameters, weights_digest
from hdbench.schema.generator import GENERATOR_CARD, GENERATOR_WEIGHTS
from hdbench.schema.method import TrainedMethod, require_trained
from hdbench.schema.perceptual import PerceptualCard
from hdbench.schema.result import Provenance, ScoreRecord
from hdbench.schema.result import Result as Scored
from hdbench.segmentation.segmenter import Segmenter, SegmenterCard
from hdbench.study.packet.build import Flags, build
from hdbench.study.packet.gathering import gather
from hdbench.workflows.bundle import pack
from hdbench.workflows.evaluate import evaluate
from hdbench.workflows.import_images import import_images
from hdbench.workflows.train import train_method, train_own_perceptual
from hdbench.workflows.train_segmenter import train_own_segmenter
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace
from hdbench.workspace.segmenters import open_segmenter

MACHINE = Machine(torch.device("cpu"), workers=0, checkpoint_minutes=60)

TINY = """
extends = "camvid"
name    = "tiny"
title   = "Tiny"

[size]
width  = 64
height = 48

[budget]
width        = 0.0625
epochs       = 1
decay_epochs = 1
downsamplings = 4
ema = 0.0

[perceptual.training]
epochs = 1

[segmenter.training]
encoder    = "tu-resnet18"
depth      = 3
epochs     = 2
batch_size = 4
precision  = "fp32"
"""

SMALL_STREETS = """
extends = "streets"
name    = "small"
title   = "Small"

[data]
train = "train[:4]"
test  = "val[:2]"

[size]
width  = 64
height = 32

[budget]
width        = 0.0625
epochs       = 1
decay_epochs = 1

[perceptual]
name = "own"

[perceptual.training]
split  = "perceptual[:4]"
epochs = 1

[segmenter]
name = "{segmenter}"

[segmenter.training]
split      = "judge[:4]"
epochs     = 1
batch_size = 2
precision  = "fp32"

[second_segmenter]
name = "own"

[second_segmenter.training]
split      = "judge[:4]"
epochs     = 1
batch_size = 2
"""


#: The scenes of ``cityscapes_folder``.
CITYSCAPES_SCENES = ("aachen_000000_000019", "aachen_000001_000019", "bochum_000000_000313")

CITY = """
extends = "cityscapes"
name    = "city"
title   = "City"

[data]
train = "train[:2]"
test  = "val[:3]"

[size]
width  = 24
height = 16
"""


#: Where Linux keeps files in memory, and the bytes that must be free there for a run of all tests.
MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30


def pytest_configure() -> None:
    """Put temporary folders into memory where there is room: a busy disk doubles the time.

    ``PYTEST_DEBUG_TEMPROOT`` names another place.
    """
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have most slow tests: a long file that came last would run alone.

    Whoever runs several processes hands files out in this order (``--no-loadscope-reorder``).
    """
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_collection_finish() -> None:
    """Leave what is imported out of the garbage collector: statsmodels calls it for every P-value.

    With all of torch in memory that takes a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # tiny networks lose more to threads than they gain


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Let files reach the disk when they do: no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(os, "sync", lambda: None)
        yield


_draw_page = TrainingPage.update


@pytest.fixture(scope="session", autouse=True)
def _without_pages() -> Iterator[None]:
    """Draw no pages of trainings: they take as long as many steps, and have their own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingPage, "update", lambda *_: None)
        yield


@pytest.fixture
def with_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the pages of trainings all the same."""
    monkeypatch.setattr(TrainingPage, "update", _draw_page)


#: What draws the figures of reports of scores, by its name there.
_FIGURES = {
    name: getattr(score_sections, name)
    for name in ("class_bars", "confusion_picture", "loss_curves", "ratio_points", "score_whiskers")
}


@contextmanager
def figures_drawn(drawn: bool = True) -> Iterator[None]:
    """Draw the figures of reports, or leave their files and places empty."""
    with pytest.MonkeyPatch.context() as patch:
        for name, draw in _FIGURES.items():
            patch.setattr(score_sections, name, draw if drawn else lambda *_, **__: Figure())
        patch.setattr(document, "svg_of", svg_of if drawn else lambda _: "<svg></svg>")
        patch.setattr(document, "png_of", png_of if drawn else lambda _: b"")
        yield


@pytest.fixture(scope="session", autouse=True)
def _without_figures() -> Iterator[None]:
    """Draw no figures of reports: they take most of a report's time, and have their own tests."""
    with figures_drawn(False):
        yield


@pytest.fixture
def with_figures() -> Iterator[None]:
    """Draw the figures of reports all the same."""
    with figures_drawn():
        yield


def write_scene(root: Path, split: str, name: str, seed: int, size: tuple[int, int]) -> None:
    """Write one street of rectangles: sky, buildings, road, cars, and some void."""
    width, height = size
    random = np.random.default_rng(seed)
    label = np.zeros((height, width), np.uint8)
    horizon = height // 3 + int(random.integers(0, height // 4))
    label[:horizon, : int(random.integers(width // 3, width))] = 1
    label[horizon:] = 3
    for entry in (8, 8, 5, 9, 2, 4, 6, 7, 10, 11):
        left, top = int(random.integers(0, width - 12)), int(random.integers(0, height - 12))
        label[top : top + int(random.integers(4, 12)), left : left + 10] = entry
    space = shipped_space("camvid")
    colours = space.colour_table.numpy()[label].astype(np.int32)
    photograph = np.clip(colours + random.integers(-25, 25, colours.shape), 0, 255)
    for folder, pixels in ((split, photograph.astype(np.uint8)), (f"{split}annot", label)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / folder / f"{name}.png")


@pytest.fixture(scope="session")
def drawn_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training and three validation scenes of 96x72 pixels; tests get copies."""
    root = tmp_path_factory.mktemp("drawn") / "camvid"
    for n in range(8):
        write_scene(root, "train", f"train_{n:02}", n, (96, 72))
    for n in range(3):
        write_scene(root, "val", f"val_{n:02}", 100 + n, (96, 72))
    return root


@pytest.fixture
def camvid_folder(drawn_once: Path, tmp_path: Path) -> Path:
    """A dataset of the test's own, to break."""
    return Path(shutil.copytree(drawn_once, tmp_path / "camvid"))


def street(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two touching cars on a road, a group of people, and a photograph of noise; 24x16 pixels."""
    label = np.full((16, 24), 7, np.uint8)
    instance = np.full((16, 24), 7, np.uint16)
    label[4:10, 2:14] = 26
    instance[4:10, 2:8], instance[4:10, 8:14] = 26000, 26001
    label[12:14, 18:22] = instance[12:14, 18:22] = 24  # a group: the bare id
    label[:2, :6], instance[:2, :6] = 33, 33001  # the largest id, in the sign bit of 16
    photograph = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    return label, instance, photograph


def save_pixels(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def cityscapes_folder(tmp_path: Path) -> Path:
    """Three scenes of two cities in Cityscapes' tree, with the files that nobody asks for."""
    root = tmp_path / "cityscapes"
    for n, name in enumerate(CITYSCAPES_SCENES):
        city = name.split("_")[0]
        label, instance, photograph = street(n)
        save_pixels(root / "leftImg8bit/train" / city / f"{name}_leftImg8bit.png", photograph)
        labels = root / "gtFine/train" / city
        save_pixels(labels / f"{name}_gtFine_labelIds.png", label)
        save_pixels(labels / f"{name}_gtFine_instanceIds.png", instance)
        save_pixels(labels / f"{name}_gtFine_color.png", photograph)
        (labels / f"{name}_gtFine_polygons.json").write_text("{}")
    return root


@pytest.fixture
def city(tmp_path: Path, cityscapes_folder: Path) -> Workspace:
    """A workspace over scenes with instance maps; too few to train on, and alike in both splits."""
    for folder in ("leftImg8bit", "gtFine"):
        shutil.copytree(cityscapes_folder / folder / "train", cityscapes_folder / folder / "val")
    (tmp_path / "city.toml").write_text(CITY)
    return Workspace(tmp_path / "ws", cityscapes_folder, str(tmp_path / "city.toml"))


class _Constant(torch.nn.Module):
    def __init__(self, train_id: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("answer", torch.eye(classes)[train_id].view(1, classes, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answer = self.get_buffer("answer")
        return answer.expand(len(images), -1, *images.shape[-2:])


def constant_segmenter(train_id: int, space: LabelSpace, width: int, height: int) -> Segmenter:
    """A segmenter that sees one class everywhere."""
    card = SegmenterCard(
        architecture="constant",
        encoder="none",
        depth=1,
        enlarge=1,
        label_space=space.name,
        classes=[entry.name for entry in space.scored],
        mean=[0.0] * 3,
        std=[1.0] * 3,
        window=[width, height],
        trained_on="nothing",
        scenes_digest="",
        training={},
        weights=f"constant-{train_id}",
        oracle=None,
    )
    return Segmenter(_Constant(train_id, len(space.scored)), card, torch.device("cpu"))


def made_result(method: str, matrices: np.ndarray, **counting: str) -> Scored:
    """A result of made-up matrices N x (K+1) x K; policies are the standard's or those given."""
    scoring = Library().scoring("camvid-std-v1")
    policy = scoring.counting.model_copy(update=counting)
    images, _, count = matrices.shape
    classes = [f"class {n}" for n in range(count)]
    once = np.ones((1, images), dtype=np.int64)
    accuracy, mean_iou, *class_iou = rescored_many(matrices, policy, once)[0].tolist()
    defined = [None if np.isnan(value) else value for value in (accuracy, mean_iou, *class_iou)]
    return Scored(
        method=method,
        benchmark="tiny",
        seed=0,
        scoring=scoring.name,
        choices={
            "schema": 1,
            "split": "val",
            "scenes": images,
            "labels": "0" * 64,
            "classes": [[n, name, n] for n, name in enumerate(classes)],
            "scoring": {"name": scoring.name, "counting": policy.model_dump()},
            "image_size": [64, 48],
            "segmenter": {"architecture": "pspnet", "encoder": "resnet18", "weights": "1" * 64},
        },
        run="2" * 64,
        scenes=[f"scene {n}" for n in range(images)],
        images=[f"{method} {n}" for n in range(images)],
        classes=classes,
        scores=ScoreRecord(
            pixel_accuracy=defined[0],
            mean_iou=defined[1],
            class_iou=dict(zip(classes, defined[2:], strict=True)),
        ),
        provenance=Provenance(versions={"hdbench": "0"}, device="cpu", ranks=1),
        matrices=matrices,
    )


def evaluated(
    bench: Bench,
    methods: Sequence[str],
    seed: int,
    segmenter: Segmenter,
    device: torch.device,
    **options: Any,
) -> list[Scored]:
    """The results of methods, oracle and floors under the benchmark's own convention."""
    [found] = evaluate(bench, methods, seed, segmenter, device, **options)
    return found.results


def changed(result: Scored, **values: Any) -> Scored:
    """A result with other values."""
    return result.model_copy(update=values)


def accuracy_of(result: Scored) -> float:
    """The pixel accuracy of a result that has one."""
    assert result.scores.pixel_accuracy is not None
    return result.scores.pixel_accuracy


def mean_iou_of(result: Scored) -> float:
    """The mean IoU of a result that has one."""
    assert result.scores.mean_iou is not None
    return result.scores.mean_iou


def write_tiny(folder: Path, **budget: int) -> Path:
    """Write the benchmark file of the small dataset, with other epochs if asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    text = TINY
    for key, value in budget.items():
        text = re.sub(rf"^{key} *= 1$", f"{key} = {value}", text, flags=re.MULTILINE)
    (folder / "tiny.toml").write_text(text)
    return folder / "tiny.toml"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The benchmark file of the small dataset."""
    return write_tiny(tmp_path)


def write_small_streets(folder: Path, segmenter: str = "own") -> Path:
    """Write the file of a small benchmark of built-in scenes; ``segmenter`` may be a path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.toml").write_text(SMALL_STREETS.format(segmenter=segmenter))
    return folder / "small.toml"


@pytest.fixture
def bench(tmp_path: Path, camvid_folder: Path, tiny: Path) -> Bench:
    """The small benchmark in a fresh workspace."""
    return open_bench(Workspace(tmp_path / "ws", camvid_folder, str(tiny)))


@pytest.fixture(scope="session")
def trained_once(drawn_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a segmenter and a trained ``ours-no-vgg``; tests get copies."""
    folder = tmp_path_factory.mktemp("trained")
    bench = open_bench(Workspace(folder / "ws", drawn_once, str(write_tiny(folder))))
    train_own_segmenter(bench, MACHINE)
    train_method(bench, trainable(bench), 0, MACHINE)
    return folder / "ws"


@pytest.fixture
def trained(bench: Bench, trained_once: Path) -> Bench:
    """The small benchmark with a segmenter and a trained ``ours-no-vgg``."""
    shutil.copytree(trained_once, bench.workspace.root)
    return bench


@pytest.fixture(scope="session")
def scored_once(
    drawn_once: Path, trained_once: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """That workspace with ``ours-no-vgg`` scored beside oracle and floors; tests get copies."""
    folder = tmp_path_factory.mktemp("scored")
    shutil.copytree(trained_once, folder / "ws")
    bench = open_bench(Workspace(folder / "ws", drawn_once, str(write_tiny(folder))))
    segmenter = open_segmenter(bench, None, MACHINE.device)
    evaluated(bench, ["ours-no-vgg"], 0, segmenter, MACHINE.device)
    return folder / "ws"


@pytest.fixture
def scored(trained: Bench, scored_once: Path) -> Bench:
    """The small benchmark with ``ours-no-vgg`` scored beside oracle and floors."""
    shutil.copytree(scored_once, trained.workspace.root, dirs_exist_ok=True)
    return open_bench(trained.workspace)


@pytest.fixture(scope="session")
def perceptual_once(drawn_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the small benchmark's own perceptual network; tests get copies."""
    folder = tmp_path_factory.mktemp("perceptual")
    bench = open_bench(Workspace(folder / "ws", drawn_once, str(write_tiny(folder))))
    train_own_perceptual(bench, MACHINE, restart=False)
    return folder / "ws"


@pytest.fixture
def perceptive(bench: Bench, perceptual_once: Path) -> Bench:
    """The small benchmark with its own perceptual network."""
    shutil.copytree(perceptual_once, bench.workspace.root)
    return bench


def write_perceptual(folder: Path, seed: int = 0, **card: object) -> Path:
    """Write a perceptual network of random weights in half precision, and its card."""
    torch.manual_seed(seed)
    network = PerceptualNetwork([4, 4, 8, 8, 8], [1, 2, 1, 1, 1])
    halve_parameters(network)
    facts: dict[str, object] = {
        "architecture": "vgg",
        "channels": [4, 4, 8, 8, 8],
        "convolutions": [1, 2, 1, 1, 1],
        "label_space": "camvid",
        "window": [64, 48],
        "trained_on": "nothing",
        "scenes_digest": "",
        "training": {},
        "test_accuracy": 0.5,
        "weights": weights_digest(network),
    }
    save_perceptual(folder, network, PerceptualCard.model_validate({**facts, **card}))
    return folder


@pytest.fixture
def own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of hdbench's library, to add to and to break; it is the library from now on."""
    root = tmp_path / "library"
    for folder in ("models", "protocols", "reports"):
        copied = shutil.ignore_patterns("measured")
        shutil.copytree(library_root() / folder, root / folder, ignore=copied)
    monkeypatch.setattr("hdbench.library.files.library_root", lambda: root)
    return root


def ship(run: Path, root: Path, name: str) -> Path:
    """Put a finished run's generator into a library, as a release does."""
    folder = root / "models" / "weights" / name
    folder.mkdir(parents=True)
    for file in (GENERATOR_WEIGHTS, GENERATOR_CARD):
        shutil.copy(run / file, folder / file)
    return folder


def trainable(bench: Bench, name: str = "ours-no-vgg") -> TrainedMethod:
    """A method that learns."""
    return require_trained(bench.library.method(name))


@pytest.fixture
def cli(
    tmp_path: Path, camvid_folder: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run hdbench in this process, in a folder whose hdbench.toml names the small benchmark."""
    from hdbench.cli.main import cli as command

    (tmp_path / "hdbench.toml").write_text(
        f'benchmark = "{tiny}"\ndata_root = "{camvid_folder}"\nworkspace = "ws"\n'
    )
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> Result:
        return CliRunner().invoke(command, [str(word) for word in words])

    return run


@pytest.fixture
def bare_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run hdbench in this process, in an empty folder without hdbench.toml."""
    from hdbench.cli.main import cli as command

    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path / "bare")

    def run(*words: str | Path) -> Result:
        return CliRunner().invoke(command, [str(word) for word in words])

    return run


def hdbench_process(*words: str | Path, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start hdbench as its own process group, as a user would."""
    return subprocess.Popen(
        [sys.executable, "-m", "hdbench", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def real_data() -> Path:
    """The folder of real photographs, or a visible skip."""
    folder = os.environ.get("HDBENCH_REAL_DATA")
    if not folder:
        pytest.skip("HDBENCH_REAL_DATA is not set: it names a folder with camvid/")
    return Path(folder)


def add_images(bench: Bench, name: str, seed: int, size: tuple[int, int] | None = None) -> Path:
    """Put images of noise into the workspace, as another program would."""
    folder = bench.image_folder(name, 0)
    width, height = size or (bench.benchmark.size.width, bench.benchmark.size.height)
    for n, entry in enumerate(bench.dataset.test_scenes):
        random = np.random.default_rng([seed, n])
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        save_pixels(folder / f"{entry.name}.png", pixels)
    return folder


@pytest.fixture
def imaged(bench: Bench) -> Bench:
    """The small benchmark with images of the methods 'alpha' and 'beta'."""
    add_images(bench, "alpha", 1)
    add_images(bench, "beta", 2)
    return bench


@pytest.fixture(scope="session")
def packet_once(drawn_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packet of the pilot study on the small dataset; tests get copies."""
    folder = tmp_path_factory.mktemp("packet")
    bench = open_bench(Workspace(folder / "ws", drawn_once, str(write_tiny(folder))))
    add_images(bench, "alpha", 1)
    add_images(bench, "beta", 2)
    protocol = bench.library.study("pilot")
    material = gather(bench, protocol, ["alpha", "beta"], "oracle", 0, False, None)
    flags = Flags(seed=0, run_seed=0, intersect=False, most_scenes=None)
    return build(bench, protocol, material, "oracle", flags, folder / "packet").folder


@pytest.fixture(scope="session")
def timed_packet_once(drawn_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packet with limited time of alpha and the oracle; tests get copies."""
    from packets import protocol_with  # programs that tests write import this file without it

    folder = tmp_path_factory.mktemp("timed")
    bench = open_bench(Workspace(folder / "ws", drawn_once, str(write_tiny(folder))))
    add_images(bench, "alpha", 1)
    protocol = protocol_with(
        "limited",
        design={"judgments_per_pair": 4, "durations_ms": [125, 250]},
        checks={"count": 2},
        practice={"count": 1},
    )
    material = gather(bench, protocol, ["alpha"], "oracle", 0, False, None)
    flags = Flags(seed=0, run_seed=0, intersect=False, most_scenes=None)
    return build(bench, protocol, material, "oracle", flags, folder / "packet").folder


#: A title that hurts where it is not escaped.
HOSTILE_TITLE = "<img src=x onerror=alert(1)>{{ 7 * 7 }}\\input{x}|`x`"


@pytest.fixture(scope="session")
def packed_once(
    trained_once: Path, drawn_once: Path, tmp_path_factory: pytest.TempPathFactory
) -> Workspace:
    """A workspace with ``lab.zip`` beside it: ``ours-no-vgg``, and ``noise``, which is imported."""
    folder = tmp_path_factory.mktemp("packed")
    workspace = Workspace(folder / "ws", drawn_once, str(write_tiny(folder)))
    shutil.copytree(trained_once, workspace.root)
    bench = open_bench(workspace)
    for n, entry in enumerate(bench.dataset.test_scenes):
        pixels = np.random.default_rng(n).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        save_pixels(folder / "noise" / f"{entry.name}.png", pixels)
    import_images(bench, "noise", folder / "noise", title=HOSTILE_TITLE)
    bench, methods = open_bench(workspace), ["ours-no-vgg", "noise"]
    device = torch.device("cpu")
    evaluated(bench, methods, 0, open_segmenter(bench, None, device), device)
    said = {"noise": "<b>nothing</b>"}
    pack(open_bench(workspace), methods, [0], folder / "lab.zip", 8, "A. Lab <a@b>", said)
    return workspace


@pytest.fixture
def packet(packet_once: Path, tmp_path: Path) -> Path:
    """A packet of the methods alpha, beta and the oracle, to break."""
    return Path(shutil.copytree(packet_once, tmp_path / "packet"))


@pytest.fixture
def timed_packet(timed_packet_once: Path, tmp_path: Path) -> Path:
    """A packet of alpha and the oracle, shown for 125 and 250 ms, to break."""
    return Path(shutil.copytree(timed_packet_once, tmp_path / "timed"))


def reopened(bench: Bench) -> Bench:
    """The bench of a later command."""
    return open_bench(bench.workspace)
