"""Styles of instances (Sec. 3.4 of the paper): encoded, clustered, chosen, laid over a scene.

Shapes: H x W scene, S channels of a style. An instance is a region of ``Scene.regions``, over which
the encoder averages: an instance of the instance map, else all pixels of a class. Its class is the
label of most of its pixels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from hdbench.data.labels import LabelSpace
from hdbench.data.scene import Scene, to_network_range
from hdbench.errors import UsageError, counted, suggestion
from hdbench.networks.encoder import FeatureEncoder
from hdbench.provenance import derived_seed
from hdbench.schema.styles import ClassStyles, Clustering, EncodedInstance, Styles

#: The paper's ten clusters, of instances larger than 1/64 of the image (official implementation).
CLUSTERING = Clustering(clusters=10, area_divisor=64, initialisations=10, seed=0)

#: From a scene to its styles S x H x W, on the CPU.
Styling = Callable[[Scene], Tensor]

_WORDS = ("random", "random:SEED", "center:K", "encode")


@dataclass(frozen=True)
class Style:
    """Which style the instances of a scene get."""

    #: ``random``: each instance gets one of its class's centres; ``center``: the one of a number;
    #: ``encode``: the style that the encoder sees in the scene's own photograph.
    kind: Literal["random", "center", "encode"] = "random"
    #: The seed of ``random``, the number of ``center``.
    number: int = 0
    #: The benchmark whose photographs the centres are from; None: the one that is synthesized.
    source: str | None = None

    @classmethod
    def parse(cls, text: str, source: str | None = None) -> Self:
        """Return the style that ``random``, ``random:7``, ``center:3`` or ``encode`` names.

        Raises:
            UsageError: the text is none of these, or ``encode`` is given a ``source``.
        """
        match = re.fullmatch(r"(random)(?::(\d+))?|(center):(\d+)|(encode)", text)
        if match is None:
            word = text.partition(":")[0]
            near = suggestion(word, ("random", "center:0", "encode"))
            raise UsageError(
                f"--style {text}: expected one of {', '.join(_WORDS)}, with whole numbers from 0"
                f"{near if 'mean' in near else ''}"
            )
        if match[1]:
            return cls("random", int(match[2] or 0), source)
        if match[3]:
            return cls("center", int(match[4]), source)
        if source is not None:
            raise UsageError(
                "--style encode takes the style of each scene's own photograph, so --styles-from "
                f"{source} has no effect; leave one of the two out"
            )
        return cls("encode")

    def __str__(self) -> str:
        """Return the text that ``parse`` reads, and where the centres are from."""
        text = self.kind if self.kind == "encode" else f"{self.kind}:{self.number}"
        return text if self.source is None else f"{text} from {self.source}"

    @property
    def folder_suffix(self) -> str:
        """What the name of a folder with such images ends in; empty for the default style."""
        if self == DEFAULT_STYLE:
            return ""
        own = str(replace(self, source=None)).replace(":", "-")
        return f".{own}" + ("" if self.source is None else f".from-{self.source}")


#: What ``hdbench evaluate`` scores: the paper's random centres.
DEFAULT_STYLE = Style()


@dataclass(frozen=True)
class Instance:
    """One region of a scene."""

    #: Its id.
    region: int
    #: The label of most of its pixels, the lowest one of several.
    label: int
    pixels: int
    #: Row and column of its first pixel.
    first: tuple[int, int]


def instances_of(scene: Scene) -> list[Instance]:
    """Return the instances of a scene by their ids."""
    regions, width = scene.regions.numpy().reshape(-1), scene.size[1]
    # Only runs of one id are sorted: there are far fewer of them than pixels.
    starts = np.concatenate([[0], np.flatnonzero(regions[1:] != regions[:-1]) + 1])
    ids, first, place = np.unique(regions[starts], return_index=True, return_inverse=True)
    lengths = np.diff(starts, append=len(regions))
    labels = np.repeat(place.reshape(-1) * 256, lengths) + scene.label.numpy().reshape(-1)
    counts = np.bincount(labels, minlength=256 * len(ids)).reshape(-1, 256)
    return [
        Instance(int(region), int(row.argmax()), int(row.sum()), divmod(int(starts[run]), width))
        for region, run, row in zip(ids, first, counts, strict=True)
    ]


# -- encode ----------------------------------------------------------------------------------------


def encoder_styling(encoder: FeatureEncoder, device: torch.device) -> Styling:
    """Return the styling that encodes each scene's own photograph."""
    encoder.to(device).eval()

    @torch.no_grad()
    def styling(scene: Scene) -> Tensor:
        assert scene.image is not None
        image = to_network_range(scene.image[None].to(device))
        return encoder(image, scene.regions[None].to(device))[0].cpu()

    return styling


def encoded_instances(scene: Scene, styles: Tensor) -> list[EncodedInstance]:
    """Return the style of each instance from ``styles`` S x H x W, which are constant on it."""
    return [
        EncodedInstance(
            region=entry.region,
            label=entry.label,
            pixels=entry.pixels,
            style=styles[:, *entry.first].tolist(),
        )
        for entry in instances_of(scene)
    ]


# -- cluster ---------------------------------------------------------------------------------------


def cluster(
    styles: Sequence[Sequence[float]], clusters: int, initialisations: int, seed: int
) -> tuple[list[list[float]], list[int]]:
    """Return the centres of k-means, the one with most instances first, and these numbers.

    Where there are fewer different styles than clusters, there are as many centres.
    """
    from sklearn.cluster import KMeans  # a second to import, needed here alone

    points = np.array(styles, dtype=np.float64)
    count = min(clusters, len(np.unique(points, axis=0)))
    found = KMeans(
        count,
        n_init=initialisations,  # pyright: ignore[reportArgumentType]
        random_state=seed % 2**32,
    )
    counts = np.bincount(found.fit_predict(points), minlength=count).tolist()
    centres = found.cluster_centers_.astype(np.float32).tolist()
    order = sorted(range(count), key=lambda n: (-counts[n], centres[n]))
    return [centres[n] for n in order], [counts[n] for n in order]


def cluster_classes(
    instances: Iterable[EncodedInstance],
    area: int,
    channels: int,
    space: LabelSpace,
    clustering: Clustering = CLUSTERING,
) -> list[ClassStyles]:
    """Return the centres of every class of a label space.

    Instances larger than ``area``, the pixels of an image, divided by ``area_divisor`` are
    clustered; a class without such instances takes all of its instances, and a class without any
    gets one centre of ``channels`` zeros.
    """
    of_class: dict[int, list[EncodedInstance]] = {entry.id: [] for entry in space.classes}
    for entry in instances:
        of_class.setdefault(entry.label, []).append(entry)
    names = {entry.id: entry.name for entry in space.classes}
    found = []
    for label, its in sorted(of_class.items()):
        large = [entry for entry in its if entry.pixels * clustering.area_divisor > area]
        centres, counts = [[0.0] * channels], [0]
        if its:
            centres, counts = cluster(
                [entry.style for entry in large or its],
                clustering.clusters,
                clustering.initialisations,
                derived_seed("k-means", clustering.seed, label),
            )
        found.append(
            ClassStyles(
                id=label,
                name=names.get(label, f"id {label}"),
                instances=len(its),
                large=len(large),
                centres=centres,
                counts=counts,
            )
        )
    return found


# -- choose ----------------------------------------------------------------------------------------


def choose(
    scene: Scene,
    styles: Styles,
    style: Style = DEFAULT_STYLE,
    changed: Mapping[int, int] | None = None,
) -> dict[int, int]:
    """Return the number of the centre that each instance of a scene gets, by the instance's id.

    A random choice depends on the seed, the scene's name and the instance's id alone. Number K of
    ``center:K`` counts modulo the centres of a class. ``changed`` states the numbers of some
    instances, which get them instead.

    Raises:
        UsageError: ``changed`` names an instance that the scene does not have, or a centre that its
            class does not have.
    """
    assert style.kind != "encode"
    counts = {entry.region: len(styles.by_id[entry.label].centres) for entry in instances_of(scene)}
    chosen = {}
    for region, count in counts.items():
        number = style.number
        if style.kind == "random":
            number = derived_seed("style", style.number, scene.name, region)
        chosen[region] = number % count
    for region, number in (changed or {}).items():
        if region not in counts:
            near = suggestion(str(region), map(str, counts))
            raise UsageError(f"scene '{scene.name}' has no instance {region}{near}")
        if not 0 <= number < counts[region]:
            raise UsageError(
                f"scene '{scene.name}': centre {number} for instance {region}, whose class has "
                f"{counted(counts[region], 'centre')}, 0 to {counts[region] - 1}"
            )
        chosen[region] = number
    return chosen


def style_map(scene: Scene, styles: Styles, chosen: Mapping[int, int | Sequence[float]]) -> Tensor:
    """Return float S x H x W: at each pixel the style of its instance.

    ``chosen`` has a centre's number, as ``choose`` returns it, or the style itself, for each
    instance of the scene.
    """
    instances = instances_of(scene)
    given = [(entry.label, chosen[entry.region]) for entry in instances]
    values = [
        styles.by_id[label].centres[which] if isinstance(which, int) else list(which)
        for label, which in given
    ]
    ids = torch.tensor([entry.region for entry in instances])
    place = torch.searchsorted(ids, scene.regions.long())
    return torch.tensor(values)[place].permute(2, 0, 1).contiguous()


def given_style_map(
    scene: Scene, styles: Styles, given: Mapping[int, int | Sequence[float]]
) -> Tensor:
    """Return the ``style_map`` of a scene some of whose instances were given a style.

    All others have the default one. Raises UsageError as ``choose`` does.
    """
    numbers = {region: which for region, which in given.items() if isinstance(which, int)}
    itself = {region: which for region, which in given.items() if not isinstance(which, int)}
    chosen = choose(scene, styles, DEFAULT_STYLE, numbers)
    return style_map(scene, styles, {**chosen, **itself})


def centre_styling(styles: Styles, style: Style = DEFAULT_STYLE) -> Styling:
    """Return the styling that gives each instance one of its class's centres.

    In the default style, regions of an edited scene have the styles that they were given.

    Raises:
        UsageError: no class has the centre that ``style`` names; or, as a scene is styled, its
            given styles are of another encoder or other centres.
    """
    if style.kind == "center" and style.number >= styles.most:
        raise UsageError(
            f"--style {style}: the classes of '{styles.method}' have {styles.most} centres at "
            f"most, so K is 0 to {styles.most - 1}"
        )

    def styling(scene: Scene) -> Tensor:
        given = scene.given_styles
        if given is None or style != DEFAULT_STYLE:
            return style_map(scene, styles, choose(scene, styles, style))
        if (given.encoder, given.centres) != (styles.encoder, styles.digest):
            raise UsageError(
                f"scene '{scene.name}': it was edited with styles of another encoder or other "
                f"centres ({given.encoder[:8]}, {given.centres[:8]}) than those of "
                f"'{styles.method}' ({styles.encoder[:8]}, {styles.digest[:8]}).\n"
                "Next: export it again from 'hdbench edit' with this method, or choose a --style"
            )
        return given_style_map(scene, styles, {int(key): one for key, one in given.styles.items()})

    return styling
