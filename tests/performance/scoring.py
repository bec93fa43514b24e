"""What scoring costs beside the segmenter, at Cityscapes' 2048x1024.

Three measurements: counting a pair of maps, beside cityscapesScripts' numpy path, in turns; the
share of the wall time that is spent inside a small PSPNet; and the peak memory, after a few images
and after many. The images are drawn streets, read from disk again each time.

HDBENCH_IMAGES says how many images the PSPNet sees (default 6), HDBENCH_STREAMED how many are
streamed past a segmenter of one layer (default 500).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as reference
from torch import Tensor, nn

from hdbench.data.label_maps import read_label
from hdbench.data.labels import shipped_space
from hdbench.data.layouts import SceneFiles, find_scenes
from hdbench.evaluation.confusion import confusion_matrix
from hdbench.library import Library
from hdbench.networks.pspnet import PSPNetDesign, build_pspnet
from hdbench.segmentation.passes import count_images
from hdbench.segmentation.segmenter import Segmenter, SegmenterCard
from hdbench.streets.files import write_streets

WIDTH, HEIGHT, PAIRS = 2048, 1024, 20
SPACE = shipped_space("cityscapes")


class Timed(nn.Module):
    """A network that knows how long it was at work."""

    def __init__(self, network: nn.Module) -> None:
        """Start at zero."""
        super().__init__()
        self.network, self.seconds = network, 0.0

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's answer."""
        began = time.perf_counter()
        answer = self.network(images)
        self.seconds += time.perf_counter() - began
        return answer


def segmenter_of(network: nn.Module) -> tuple[Segmenter, Timed]:
    """Return a segmenter of full-size streets around a network of any weights."""
    timed = Timed(network)
    names = [entry.name for entry in SPACE.scored]
    card = SegmenterCard(
        architecture="timed",
        encoder="none",
        depth=1,
        enlarge=1,
        label_space=SPACE.name,
        classes=names,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        window=[WIDTH, HEIGHT],
        trained_on="nothing",
        scenes_digest="",
        training={},
        weights="random",
        oracle=None,
    )
    return Segmenter(timed, card, torch.device("cpu")), timed


def counting(scenes: list[SceneFiles]) -> None:
    """Print the CPU time of a pair's matrix, ours and cityscapesScripts', on one thread."""
    arguments = SimpleNamespace(evalLabels=[entry.id for entry in SPACE.classes])
    random = np.random.default_rng(0)
    ours: list[float] = []
    theirs: list[float] = []
    for n in range(PAIRS):
        label = read_label(scenes[n % len(scenes)].label_map, SPACE)
        guess = label.numpy().copy()
        wrong = random.random(guess.shape) < 0.1
        guess[wrong] = 7 + 4 * random.integers(0, 2, int(wrong.sum()))
        truth = SPACE.to_train_ids(label).numpy()
        answer = np.minimum(SPACE.train_id_table.numpy()[guess], 18)
        began = time.thread_time()
        matrix = confusion_matrix(truth, answer, 19)
        ours.append(time.thread_time() - began)
        assert matrix.sum() == truth.size
        began = time.thread_time()
        encoded = label.numpy().astype(np.int32) * 34 + guess  # its path, without reading files
        values, counts = np.unique(encoded, return_counts=True)
        matrix = reference.generateMatrix(arguments)
        for value, count in zip(values, counts, strict=True):
            matrix[value // 34][value % 34] += count
        theirs.append(time.thread_time() - began)
    a, b = (1000 * statistics.median(times) for times in (ours, theirs))
    print(f"counting a pair: {a:.1f} ms, cityscapesScripts {b:.1f} ms, {b / a:.1f}x", flush=True)


def streamed(scenes: list[SceneFiles], network: nn.Module, count: int, title: str) -> None:
    """Print the share of the time inside the network, and the peak memory along the way."""
    library = Library()
    benchmark = library.benchmark("cityscapes")
    size = benchmark.size.model_copy(update={"width": WIDTH, "height": HEIGHT})
    segmenter, timed = segmenter_of(network)
    many = [dataclasses.replace(scenes[n % len(scenes)], name=f"{n:04}") for n in range(count)]
    counted = count_images(
        segmenter,
        many,
        [scene.image for scene in many],
        range(count),
        SPACE,
        benchmark.model_copy(update={"size": size}),
        [library.scoring("cityscapes-std-v1")],
        photographs=True,
        workers=1,
    )
    early, began = 0.0, time.perf_counter()
    with contextlib.closing(counted):
        for n, one in enumerate(counted):
            assert one.matrices[0].sum() == WIDTH * HEIGHT
            if n == count // 4:
                early = peak()
    wall = time.perf_counter() - began
    print(
        f"{title}: {count} images of {WIDTH}x{HEIGHT}, {wall / count:.2f} s each, "
        f"{timed.seconds / wall:.1%} of it inside the network; peak memory {early:.2f} GB after a "
        f"quarter, {peak():.2f} GB at the end",
        flush=True,
    )


def peak() -> float:
    """Return the peak resident memory of this process in GB."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9


with tempfile.TemporaryDirectory() as folder:
    write_streets(Path(folder), "val", 4, WIDTH, HEIGHT)
    drawn = find_scenes("streets", Path(folder), "val")
    print(f"{torch.get_num_threads()} threads, peak memory {peak():.2f} GB before", flush=True)
    counting(drawn)
    one_layer = nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(3, 19, 1))
    streamed(drawn, one_layer, int(os.environ.get("HDBENCH_STREAMED", "500")), "one layer")
    small = build_pspnet(PSPNetDesign("tu-regnetx_002", 4, 1, 19))
    streamed(drawn, small, int(os.environ.get("HDBENCH_IMAGES", "6")), "small PSPNet")
