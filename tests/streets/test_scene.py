"""Streets' scenes: frozen, pure, the same at every size, and worth learning from."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from hdbench.data.labels import VOID, shipped_space
from hdbench.data.scene import Scene, boundary_map, resize_nearest
from hdbench.streets.lens import exposed
from hdbench.streets.scene import VERSION, draw_scene

SPACE = shipped_space("cityscapes")
#: SHA-256 over label ids, instance ids and photograph of version 1, never to change.
FROZEN = {
    (1, 0, 256): "bdd218b29fcb6f9432a84a072027a5e84516e11d8fe225d430ad0e6854bbee56",
    (2, 0, 256): "41ccbb926c93579fca548d8e316a1b6d12d3326c02202912d473d8aea9b75645",
    (3, 5, 256): "5faa1f2ee735b4007e0eac9b268a8737226d3e101e183ed33a9b88f3ca680e81",
    (2, 7, 512): "ec5257cb2ddcb3ff0f5d419eecc7d09bd770393be27d6198aeb758ce8c3777e0",
    (1, 3, 1024): "cc639b096f2fd86fc733aa2fc28d47a1bc027e9ccb6d63eaec01edbd8967b040",
}


def maps(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    assert scene.instance is not None
    assert scene.image is not None
    return scene.label.numpy(), scene.instance.numpy(), scene.image.numpy()


def digest_of(scene: Scene) -> str:
    sha = hashlib.sha256()
    for pixels in maps(scene):
        sha.update(pixels.tobytes())
    return sha.hexdigest()


@pytest.fixture(scope="module")
def validation() -> list[Scene]:
    return [draw_scene(2, index, 256, 128) for index in range(60)]


@pytest.mark.parametrize(("scene", "digest"), FROZEN.items())
def test_version_1_is_frozen_to_the_last_pixel(scene: tuple[int, int, int], digest: str) -> None:
    seed, index, width = scene
    assert VERSION == 1
    assert digest_of(draw_scene(seed, index, width, width // 2)) == digest


def test_a_scene_depends_on_its_arguments_alone() -> None:
    first = digest_of(draw_scene(9, 4, 128, 64))
    others = {digest_of(draw_scene(9, index, 128, 64)) for index in range(4)}
    others.add(digest_of(draw_scene(8, 4, 128, 64)))
    np.random.default_rng(0).random(5)
    torch.manual_seed(1)
    assert digest_of(draw_scene(9, 4, 128, 64)) == first
    assert len(others) == 5
    assert first not in others


def test_types_and_shapes() -> None:
    label, instance, image = maps(draw_scene(1, 2, 192, 96))
    assert (label.dtype, label.shape) == (np.uint8, (96, 192))
    assert (instance.dtype, instance.shape) == (np.int32, (96, 192))
    assert (image.dtype, image.shape) == (np.uint8, (3, 96, 192))


@pytest.mark.parametrize(
    "index", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 6))]
)
def test_every_size_shows_the_same_scene(index: int) -> None:
    small, large = draw_scene(2, index, 256, 128), draw_scene(2, index, 2048, 1024)
    label, instance, image = maps(small)
    _, large_instance, large_image = maps(large)
    sampled = resize_nearest(large.label, 128, 256).numpy()
    assert (sampled == label).mean() > 0.97
    # Whatever is seen small is there in large, under the same instance id.
    big_enough = {entry for entry in np.unique(instance) if (instance == entry).sum() >= 8}
    assert big_enough <= set(np.unique(large_instance).tolist())
    averaged = large_image.reshape(3, 128, 8, 256, 8).mean(axis=(2, 4))
    through_the_small_lens = exposed(averaged.astype(np.float32)).astype(np.float64)
    assert np.abs(through_the_small_lens - image).mean() < 1.5
    assert np.corrcoef(through_the_small_lens.ravel(), image.ravel())[0, 1] > 0.998


@pytest.mark.slow
def test_instances_follow_cityscapes_rule(validation: list[Scene]) -> None:
    things = {entry.id for entry in SPACE.classes if 24 <= entry.id <= 33}
    seen_things, seen_groups = 0, 0
    for scene in validation:
        label, instance, _ = maps(scene)
        pairs = np.unique(np.stack([label.ravel(), instance.ravel()]), axis=1).T
        assert len({entry for _, entry in pairs}) == len(pairs)  # an instance has one label
        for kind, entry in pairs.tolist():
            if entry >= 1000:
                assert kind in things
                assert entry // 1000 == kind
                seen_things += 1
            else:
                assert entry == kind
                seen_groups += kind in things
    assert seen_things > 500
    assert seen_groups > 5


def test_instances_carry_what_labels_do_not(validation: list[Scene]) -> None:
    """Cars overlap: there are boundaries between instances where the label does not change."""
    more = 0
    for scene in validation:
        assert scene.instance is not None
        within = boundary_map(scene.instance[None]) - boundary_map(scene.label[None])
        assert within.min() >= 0
        more += int(within.sum())
    assert more > 60 * len(validation)


def test_all_classes_occur_and_void_as_in_cityscapes(validation: list[Scene]) -> None:
    pixels = np.zeros(256, np.int64)
    scenes = np.zeros(256, np.int64)
    for scene in validation:
        counts = np.bincount(SPACE.to_train_ids(scene.label).numpy().ravel(), minlength=256)
        pixels += counts
        scenes += counts > 0
    assert (scenes[:19] >= 12).all()
    assert (pixels[:19] / pixels.sum() > 0.001).all()
    assert 0.05 <= pixels[VOID] / pixels.sum() <= 0.12


@pytest.mark.slow
def test_colour_alone_does_not_tell_the_class(validation: list[Scene]) -> None:
    """Texture, shape and context are needed: nearest neighbours in RGB are wrong on 3 of 10."""
    random = np.random.default_rng(0)

    def pixels(scenes: list[Scene], count: int) -> tuple[np.ndarray, np.ndarray]:
        colours = np.concatenate([maps(scene)[2].reshape(3, -1).T for scene in scenes])
        truth = np.concatenate(
            [SPACE.to_train_ids(scene.label).numpy().ravel() for scene in scenes]
        )
        chosen = random.choice(np.flatnonzero(truth != VOID), count, replace=False)
        return colours[chosen].astype(np.float32), truth[chosen]

    training = [draw_scene(1, index, 256, 128) for index in range(60)]
    classifier = KNeighborsClassifier(n_neighbors=25).fit(*pixels(training, 60_000))
    colours, truth = pixels(validation, 15_000)
    accuracy = float((classifier.predict(colours) == truth).mean())
    print(f"pixel accuracy of 25 nearest neighbours in RGB: {accuracy:.3f}")
    assert accuracy <= 0.70


@pytest.mark.parametrize(("width", "height"), [(256, 129), (256, 256), (128, 256), (32, 16)])
def test_other_shapes_are_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError, match=f" {width}x{height};"):
        draw_scene(1, 0, width, height)
