"""Styles of hand-made scenes: who is an instance, which are clustered, who gets which centre."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from hdbench.data.labels import shipped_space
from hdbench.data.scene import Scene
from hdbench.errors import UsageError
from hdbench.networks.encoder import FeatureEncoder
from hdbench.schema.styles import ClassStyles, EncodedInstance, Styles
from hdbench.styles import (
    CLUSTERING,
    DEFAULT_STYLE,
    Style,
    centre_styling,
    choose,
    cluster,
    cluster_classes,
    encoded_instances,
    encoder_styling,
    instances_of,
    style_map,
)

CITY = shipped_space("cityscapes")
ROAD, CAR = 7, 26
AREA = 32 * 16
CPU = torch.device("cpu")


def three() -> Scene:
    """A road, and two cars on it of 24 and 8 pixels; one has the largest id that a map can hold."""
    label = torch.full((16, 32), ROAD, dtype=torch.uint8)
    instance = label.int()
    label[2:6, 3:9] = label[10:12, 20:24] = CAR
    instance[2:6, 3:9], instance[10:12, 20:24] = 26000, 2**31 - 1
    image = torch.arange(3 * 16 * 32, dtype=torch.uint8).view(3, 16, 32)
    return Scene("three", label, instance, image)


def made_styles(**centres: list[list[float]]) -> Styles:
    """Centres of roads and cars; every other class has the zero vector."""
    classes = [
        ClassStyles(
            id=entry.id,
            name=entry.name,
            instances=1,
            large=1,
            centres=centres.get(entry.name, [[0.0, 0.0, 0.0]]),
            counts=[1],
        )
        for entry in CITY.classes
    ]
    return Styles(
        method="m",
        benchmark="b",
        seed=0,
        run="",
        encoder="",
        photographs="b",
        scenes=1,
        size=(32, 16),
        scenes_digest="",
        clustering=CLUSTERING,
        classes=classes,
        command="",
        versions={},
    )


ROADS = [[n / 10, 0.0, 0.5] for n in range(10)]
CARS = [[0.0, n / 10, -0.5] for n in range(7)]
STYLES = made_styles(road=ROADS, car=CARS)


def encoded(label: int, pixels: int, *style: float, region: int = 0) -> EncodedInstance:
    return EncodedInstance(region=region, label=label, pixels=pixels, style=list(style))


def test_a_scene_of_three_instances() -> None:
    found = instances_of(three())
    assert [(entry.region, entry.label, entry.pixels) for entry in found] == [
        (ROAD, ROAD, AREA - 32),
        (26000, CAR, 24),
        (2**31 - 1, CAR, 8),
    ]
    assert [entry.first for entry in found] == [(0, 0), (2, 3), (10, 20)]


def test_without_instance_maps_a_class_is_an_instance() -> None:
    scene = three()
    scene = Scene(scene.name, scene.label, None, scene.image)
    found = [(entry.region, entry.label, entry.pixels) for entry in instances_of(scene)]
    assert found == [(ROAD, ROAD, AREA - 32), (CAR, CAR, 32)]


def test_an_instance_over_several_labels_has_the_label_of_most_of_its_pixels() -> None:
    label = torch.tensor([[5, 5, 5, 9], [9, 9, 9, 2]], dtype=torch.uint8)
    instance = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]], dtype=torch.int32)
    found = instances_of(Scene("mixed", label, instance, None))
    assert [(entry.region, entry.label, entry.pixels) for entry in found] == [(0, 9, 3), (1, 5, 5)]


def test_instances_are_those_of_a_loop_over_ids() -> None:
    random = np.random.default_rng(3)
    label = torch.from_numpy(random.integers(0, 34, (24, 40)).astype(np.uint8))
    instance = torch.from_numpy(random.integers(0, 9, (24, 40)).astype(np.int32)) - 2
    for entry in instances_of(Scene("random", label, instance, None)):
        mask = instance == entry.region
        assert entry.pixels == mask.sum()
        assert entry.label == torch.bincount(label[mask]).argmax()
        assert entry.first == tuple(torch.nonzero(mask)[0].tolist())


def test_of_two_labels_with_as_many_pixels_the_lower_one_counts() -> None:
    label = torch.tensor([[9, 9, 5, 5]], dtype=torch.uint8)
    found = instances_of(Scene("even", label, torch.zeros(1, 4, dtype=torch.int32), None))
    assert [entry.label for entry in found] == [5]


def test_the_style_of_an_instance_is_the_mean_of_the_encoder_over_its_pixels() -> None:
    torch.manual_seed(0)
    encoder, scene = FeatureEncoder(4, 2, 3), three()
    styles = encoder_styling(encoder, CPU)(scene)
    assert scene.image is not None
    with torch.no_grad():
        raw = encoder.to_style(encoder.body(scene.image[None].float() / 127.5 - 1))[0]
    for entry in encoded_instances(scene, styles):
        mask = scene.regions == entry.region
        assert entry.style == pytest.approx(raw[:, mask].mean(dim=1).tolist(), abs=1e-6)
        assert (styles[:, mask] == styles[:, mask][:, :1]).all()


@pytest.mark.parametrize(("pixels", "counts"), [(8, False), (9, True)])
def test_only_instances_larger_than_a_64th_of_the_image_are_clustered(
    pixels: int, counts: bool
) -> None:
    """512 / 64 is 8 pixels; beside a large car, one of 8 pixels does not count."""
    its = [encoded(CAR, 100, 0.5, 0.5, 0.5), encoded(CAR, pixels, -0.5, -0.5, -0.5)]
    found = {entry.id: entry for entry in cluster_classes(its, AREA, 3, CITY)}[CAR]
    assert (found.instances, found.large) == (2, 2 if counts else 1)
    assert found.centres == ([[-0.5] * 3, [0.5] * 3] if counts else [[0.5] * 3])


def test_a_class_without_large_instances_takes_all_and_one_never_seen_zeros() -> None:
    its = [encoded(CAR, 8, 0.25, 0.0, 0.0), encoded(CAR, 1, -0.25, 0.0, 0.0)]
    found = {entry.id: entry for entry in cluster_classes(its, AREA, 3, CITY)}
    assert list(found) == [entry.id for entry in CITY.classes]
    assert (found[CAR].instances, found[CAR].large) == (2, 0)
    assert sorted(found[CAR].centres) == [[-0.25, 0.0, 0.0], [0.25, 0.0, 0.0]]
    assert found[ROAD].centres == [[0.0, 0.0, 0.0]]
    assert (found[ROAD].instances, found[ROAD].counts) == (0, [0])


def test_centres_are_those_of_k_means_the_most_frequent_first() -> None:
    random = np.random.default_rng(0)
    middles = np.array([[0.8, 0, 0], [-0.8, 0, 0], [0, 0.8, 0], [0, 0, -0.8]])
    sizes = (10, 40, 20, 30)
    points = np.concatenate(
        [middle + random.normal(0, 0.03, (n, 3)) for middle, n in zip(middles, sizes, strict=True)]
    )
    centres, counts = cluster(points.tolist(), 4, 10, seed=1)
    assert counts == [40, 30, 20, 10]
    reference = KMeans(4, n_init="auto", random_state=99).fit(points)
    nearest = min(
        np.abs(np.array(centres) - reference.cluster_centers_[list(order)]).max()
        for order in permutations(range(4))
    )
    assert nearest < 1e-6


def test_fewer_different_styles_than_clusters_give_as_many_centres() -> None:
    centres, counts = cluster([[0.5, 0.0]] * 3 + [[0.25, 0.0]], 10, 10, seed=0)
    assert centres == [[0.5, 0.0], [0.25, 0.0]]
    assert counts == [3, 1]


def test_a_random_choice_depends_on_seed_scene_and_instance_alone() -> None:
    scene = three()
    first = choose(scene, STYLES)
    assert first == choose(scene, STYLES)
    fewer = Scene("three", scene.label, scene.instance.clamp(max=26000), None)  # pyright: ignore
    assert choose(fewer, STYLES)[26000] == first[26000]
    other = Scene("four", scene.label, scene.instance, None)
    seeds = [tuple(choose(scene, STYLES, Style(number=n)).values()) for n in range(20)]
    names = [tuple(choose(other, STYLES, Style(number=n)).values()) for n in range(20)]
    assert seeds != names
    assert len(set(seeds)) > 15
    assert {one[1] for one in seeds} == set(range(7))  # every centre of the car's class


def test_a_centre_counts_modulo_those_of_the_class() -> None:
    assert choose(three(), STYLES, Style("center", 8)) == {ROAD: 8, 26000: 1, 2**31 - 1: 1}


def test_single_instances_can_be_given_a_centre() -> None:
    base = choose(three(), STYLES)
    assert choose(three(), STYLES, changed={26000: 6}) == {**base, 26000: 6}
    with pytest.raises(UsageError, match="26001"):
        choose(three(), STYLES, changed={26001: 0})
    with pytest.raises(UsageError, match="7 centres, 0 to 6"):
        choose(three(), STYLES, changed={26000: 7})


def test_a_style_map_has_the_centre_of_each_instance_at_its_pixels() -> None:
    scene = three()
    found = style_map(scene, STYLES, {ROAD: 4, 26000: 6, 2**31 - 1: 0})
    assert found.shape == (3, 16, 32)
    for region, centre in ((ROAD, ROADS[4]), (26000, CARS[6]), (2**31 - 1, CARS[0])):
        its = found[:, scene.regions == region]
        assert its.shape[1] == (scene.regions == region).sum()
        assert (its == torch.tensor(centre)[:, None]).all()


def test_a_class_never_seen_has_no_style() -> None:
    label = torch.full((2, 2), 33, dtype=torch.uint8)
    assert centre_styling(STYLES)(Scene("bicycle", label, None, None)).abs().max() == 0


def test_a_centre_out_of_range_names_the_range() -> None:
    centre_styling(STYLES, Style("center", 9))
    with pytest.raises(UsageError, match="0 to 9"):
        centre_styling(STYLES, Style("center", 10))


@pytest.mark.parametrize(
    ("text", "style", "suffix"),
    [
        ("random", DEFAULT_STYLE, ""),
        ("random:0", DEFAULT_STYLE, ""),
        ("random:7", Style("random", 7), ".random-7"),
        ("center:3", Style("center", 3), ".center-3"),
        ("encode", Style("encode"), ".encode"),
    ],
)
def test_words_for_styles(text: str, style: Style, suffix: str) -> None:
    assert Style.parse(text) == style
    assert Style.parse(str(style)) == style
    assert style.folder_suffix == suffix


def test_styles_of_another_benchmark_have_a_folder_of_their_own() -> None:
    assert Style.parse("random", "gta").folder_suffix == ".random-0.from-gta"
    with pytest.raises(UsageError, match="gta"):
        Style.parse("encode", "gta")


@pytest.mark.parametrize(
    ("text", "near"),
    [("randon", "'random'"), ("centre:3", "'center:0'"), ("center", "center:K"), ("encode:1", "K")],
)
def test_unknown_words_are_answered_with_the_nearest(text: str, near: str) -> None:
    with pytest.raises(UsageError) as error:
        Style.parse(text)
    assert text in str(error.value)
    assert near in str(error.value)
