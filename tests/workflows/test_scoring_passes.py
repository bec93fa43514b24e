"""Scoring under several conventions, killed and started again, and over ranks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import two_ranks
from conftest import constant_segmenter, mean_iou_of
from killed import killed_in
from PIL import Image
from torch import Tensor

from hdbench.data.labels import shipped_space
from hdbench.errors import HdbenchError
from hdbench.runtime.ranks import ALONE, Ranks, joined_ranks
from hdbench.schema.result import Result
from hdbench.schema.scoring import Scoring
from hdbench.segmentation import passes
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.evaluate import evaluate, score_images
from hdbench.workflows.recheck import recheck, require_reproduced
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.parts import Parts
from hdbench.workspace.paths import Workspace
from hdbench.workspace.results import load_result, matrices_path, result_path

SPACE = shipped_space("cityscapes")
CPU = torch.device("cpu")
CONVENTIONS = ("cityscapes-std-v1", "streets-edges-v1", "p2phd-table1-v1")


class Killed(BaseException):
    """What nobody catches."""


class _Seeing(torch.nn.Module):
    """Answers by colour, and counts what it is given."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.mix = torch.nn.Parameter(torch.randn(19, 3, 1, 1, generator=random))
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return torch.nn.functional.conv2d(images, self.mix)


def seeing_segmenter() -> tuple[Segmenter, _Seeing]:
    network = _Seeing()
    return Segmenter(network, constant_segmenter(0, SPACE, 24, 16).card, CPU), network


@pytest.fixture
def bench(city: Workspace) -> Bench:
    return open_bench(city)


def conventions(bench: Bench, *names: str) -> list[Scoring]:
    return [bench.library.scoring(name) for name in names or CONVENTIONS]


def oracle(bench: Bench, scorings: list[Scoring], segmenter: Segmenter, workers: int = 1):
    """The photographs' results, without floors."""
    photographs = bench.dataset.photographs
    method = bench.library.method("oracle")
    return score_images(bench, method, 0, segmenter, scorings, photographs, ALONE, workers)


def stored(bench: Bench) -> dict[str, bytes]:
    """Every file of the results, without what may differ."""
    files: dict[str, bytes] = {}
    root = bench.workspace.root / "results"
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".json":
            record = json.loads(content)
            del record["provenance"]
            content = json.dumps(record).encode()
        files[str(path.relative_to(root))] = content
    return files


# -- one pass -------------------------------------------------------------------------------------


def test_conventions_that_give_the_segmenter_the_same_share_its_pass(bench: Bench) -> None:
    segmenter, network = seeing_segmenter()
    together = oracle(bench, conventions(bench), segmenter)
    # Three images: once for the first two, once and mirrored for the third.
    assert network.calls == 3 * (1 + 2)
    alone = [oracle(bench, [scoring], seeing_segmenter()[0])[0] for scoring in conventions(bench)]
    for one, other in zip(together, alone, strict=True):
        assert one.scores == other.scores
        assert np.array_equal(one.matrices, other.matrices)
    assert len({result.fingerprint for result in together}) == 3


def test_only_the_convention_that_lacks_a_result_is_computed(bench: Bench) -> None:
    segmenter, network = seeing_segmenter()
    oracle(bench, conventions(bench, "cityscapes-std-v1"), segmenter)
    network.calls = 0
    oracle(bench, conventions(bench, "cityscapes-std-v1", "streets-edges-v1"), segmenter)
    assert network.calls == 3
    network.calls = 0
    oracle(bench, conventions(bench, "cityscapes-std-v1", "streets-edges-v1"), segmenter)
    assert network.calls == 0


def test_readings_are_scores_of_the_same_matrices(bench: Bench) -> None:
    [result] = oracle(bench, conventions(bench, "p2phd-table1-v1"), seeing_segmenter()[0])
    headline, reading = result.scores, result.scores.readings["void-class"]
    present = sum(value is not None for value in headline.class_iou.values())
    assert reading.pixel_accuracy == headline.pixel_accuracy
    assert reading.mean_iou == pytest.approx(
        mean_iou_of(result) * present / (present + 1), abs=1e-12
    )


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_number_of_workers_moves_no_pixel(bench: Bench, workers: int) -> None:
    oracle(bench, conventions(bench), seeing_segmenter()[0], workers)
    found = stored(bench)
    assert len(found) == 2 * len(CONVENTIONS)
    for path in (bench.workspace.root / "results").rglob("*.*"):
        path.unlink()
    oracle(bench, conventions(bench), seeing_segmenter()[0], 2)
    assert stored(bench) == found


@pytest.mark.parametrize(("size", "width"), [("12x8", 12), ("31x17", 31)])
def test_labels_are_resized_as_pillow_does(bench: Bench, size: str, width: int) -> None:
    scoring = conventions(bench, "cityscapes-std-v1")[0]
    labels = scoring.labels.model_copy(update={"size": size})
    scene = bench.dataset.test_scenes[0]
    [truth], native = passes.read_truths(scene, SPACE, [labels])
    height = int(size.split("x")[1])
    resized = Image.open(scene.label_map).resize((width, height), Image.Resampling.NEAREST)
    assert native == (16, 24)
    expected = SPACE.to_train_ids(torch.from_numpy(np.array(resized)))
    assert torch.equal(truth.train_ids, expected)
    [result] = oracle(bench, [scoring.model_copy(update={"labels": labels})], seeing_segmenter()[0])
    assert (result.matrices.sum(axis=(1, 2)) == width * height).all()


# -- killed and started again ---------------------------------------------------------------------


def killed_at(call: int, real: Callable[..., Tensor]) -> Callable[..., Tensor]:
    calls = iter(range(call))

    def predict(*arguments: object) -> Tensor:
        if next(calls, None) is None:
            raise Killed
        return real(*arguments)

    return predict


def test_a_killed_evaluation_redoes_only_what_is_missing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorings = conventions(bench, "cityscapes-std-v1", "streets-edges-v1")
    oracle(bench, scorings, seeing_segmenter()[0])
    expected = stored(bench)
    for path in (bench.workspace.root / "results").rglob("*.*"):
        path.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(passes, "predict", killed_at(2, passes.predict))
        with pytest.raises(Killed):
            oracle(bench, scorings, seeing_segmenter()[0], workers=0)
    parts = result_path(
        bench, "oracle", 0, foreign="constant", scoring="cityscapes-std-v1"
    ).with_suffix(".parts")
    [lines] = parts.glob("*.jsonl")
    assert len(lines.read_text().split()) > 0
    with lines.open("a") as file:
        file.write('{"choices": "cut off by the ki')  # a line that a kill cut short
    segmenter, network = seeing_segmenter()
    oracle(bench, scorings, segmenter)
    assert network.calls == 1
    assert stored(bench) == expected
    assert not list((bench.workspace.root / "results").rglob("*.parts"))


def test_parts_of_another_image_or_other_choices_do_not_count(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", "these choices")
    matrix = np.arange(6).reshape(3, 2)
    parts.add(0, "a", "image of a", matrix)
    parts.add(1, "b", "image of b", matrix + 1)
    found = parts.read(["b", "a"], ["image of b", "image of a"], 2)
    assert np.array_equal(found[0], matrix + 1)
    assert np.array_equal(found[1], matrix)
    assert list(parts.read(["a", "b"], ["another image", "image of b"], 2)) == [1]
    assert not Parts(parts.folder, "other choices").read(["a"], ["image of a"], 2)
    assert not parts.read(["a"], ["image of a"], 3)
    parts.delete()
    assert not parts.folder.exists()
    assert not parts.read(["a"], ["image of a"], 2)


def _evaluated(root: Path, data: Path | None, benchmark: str, ranks: Ranks = ALONE) -> None:
    bench = open_bench(Workspace(root, data, benchmark))
    evaluate(bench, [], 0, seeing_segmenter()[0], CPU, conventions(bench), ranks)


def _evaluated_on(ranks: Ranks, *where: Any) -> None:
    _evaluated(*where, ranks=ranks)


@pytest.mark.slow
def test_sigkill_leaves_what_was_counted_and_ranks_finish_it_to_the_same_files(
    bench: Bench, tmp_path: Path
) -> None:
    data, benchmark = bench.workspace.data_root, bench.workspace.benchmark
    _evaluated(tmp_path / "whole", data, benchmark)
    cut = (tmp_path / "cut", data, benchmark)
    killed_in("hdbench.segmentation.passes.predict", 6, _evaluated, *cut)  # oracle, image 3
    assert list((tmp_path / "cut").rglob("rank0.jsonl"))
    assert two_ranks.ended(two_ranks.started(_evaluated_on, tmp_path / "said", *cut)) == [0, 0]
    results = [
        stored(Bench(bench.library, replace(bench.workspace, root=root), bench.benchmark))
        for root in (tmp_path / "whole", tmp_path / "cut")
    ]
    assert len(results[0]) == 2 * 4 * len(CONVENTIONS)  # oracle and floors
    assert results[0] == results[1]
    assert not list((tmp_path / "cut").rglob("*.parts"))


# -- ranks ----------------------------------------------------------------------------------------


def test_ranks_share_everything_once() -> None:
    work = list(range(11))
    shares = [Ranks(rank, 4).share(work) for rank in range(4)]
    assert sorted(n for share in shares for n in share) == work
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_that_torchrun_did_not_start_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with joined_ranks() as ranks:
        assert ranks == ALONE
        assert ranks.from_first(lambda: 3) == 3
        assert ranks.merged({1: 2}) == {1: 2}
        with ranks.first_alone():
            pass


# -- made again -----------------------------------------------------------------------------------


def test_three_images_made_again_give_their_stored_matrices(bench: Bench) -> None:
    segmenter, _ = seeing_segmenter()
    scorings = conventions(bench)
    for scoring, one in zip(
        scorings, evaluate(bench, [], 0, segmenter, CPU, scorings), strict=True
    ):
        for result in one.results:
            method = bench.library.method(result.method)
            found = recheck(bench, method, result, scoring, 3, segmenter, CPU)
            assert [one.scene for one in found] == result.scenes
            assert all(one.holds and one.same_image for one in found)
            if not scoring.labels.edge_band:
                assert {one.pixels for one in found} == {16 * 24}
            require_reproduced(result, found)


def test_a_matrix_that_was_tampered_with_is_not_reproduced(bench: Bench) -> None:
    segmenter, _ = seeing_segmenter()
    [scoring] = conventions(bench, "cityscapes-std-v1")
    [result] = oracle(bench, [scoring], segmenter)
    wrong = result.matrices.copy()
    wrong[1, 0, 0] += 1
    found = recheck(
        bench,
        bench.library.method("oracle"),
        result.model_copy(update={"matrices": wrong}),
        scoring,
        3,
        segmenter,
        CPU,
    )
    assert [one.holds for one in found] == [True, False, True]
    with pytest.raises(HdbenchError, match=rf"1 of 3 (.|\n)*{result.scenes[1]}: .*385 of 384 "):
        require_reproduced(result, found)


def test_what_is_stored_is_what_was_returned(bench: Bench) -> None:
    [result] = oracle(bench, conventions(bench, "p2phd-table1-v1"), seeing_segmenter()[0])
    path = result_path(bench, "oracle", 0, foreign="constant", scoring="p2phd-table1-v1")
    known: Result = load_result(path)
    assert known.scores == result.scores
    assert matrices_path(path).is_file()
