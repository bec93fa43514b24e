"""The image of a scene under edits: exact, or quick while it is drawn."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hdbench.data.scene import resize_nearest, resize_photograph, to_network_range
from hdbench.editing.state import SceneState
from hdbench.errors import UsageError
from hdbench.networks.encoder import FeatureEncoder
from hdbench.schema.editing import StyleValue
from hdbench.schema.styles import Styles
from hdbench.styles import choose, given_style_map
from hdbench.synthesis import LoadedGenerator

Quality = Literal["exact", "preview"]
#: Images that are kept; undo and the way back show them at once.
_KEPT = 12
#: A preview that takes longer than these seconds is made at half the size.
_PREVIEW_SECONDS = 0.06


@dataclass(frozen=True)
class StyleNetworks:
    """What a method with a feature encoder takes styles from."""

    encoder: FeatureEncoder
    #: Digest of its weights.
    digest: str
    centres: Styles


class Renderer:
    """Makes the images of scenes, one at a time; each is made once while it is kept."""

    def __init__(
        self,
        exact: LoadedGenerator,
        quick: LoadedGenerator | None = None,
        styles: StyleNetworks | None = None,
    ) -> None:
        """Take the generator in fp32 and, for previews, in bf16 where the device is quick at it."""
        self._exact, self._quick = exact, quick or exact
        self._halved = False
        self.styles = styles
        self.divisor = exact.divisor
        self._busy = threading.Lock()
        self._kept: OrderedDict[tuple[int, str], tuple[SceneState, Tensor]] = OrderedDict()

    @property
    def previews_differ(self) -> bool:
        """Whether a preview is another image than the exact one."""
        return self._halved or self._quick is not self._exact

    def tune(self, state: SceneState) -> None:
        """Time previews of a scene, so that those that are slow are made at half the size."""
        seconds = []
        for _ in range(3):  # the first ones prepare the networks for this size
            began = time.perf_counter()
            self._preview(state)
            seconds.append(time.perf_counter() - began)
        least = 2 * self.divisor
        fits = all(side % least == 0 and side >= 2 * least for side in state.size)
        self._halved = fits and min(seconds) > _PREVIEW_SECONDS
        if self._halved:
            self._preview(state)

    def image(
        self,
        state: SceneState,
        quality: Quality = "exact",
        wanted: Callable[[], bool] = lambda: True,
    ) -> Tensor | None:
        """Return the uint8 3 x H x W image of a scene.

        The exact one is, byte for byte, what ``hdbench synthesize`` makes of the exported scene.
        A preview may have half of the scene's height and width (``tune``). ``wanted`` is asked when
        the turn comes; None is returned if it is not wanted any more.
        """
        with self._busy:
            key = (id(state), quality if self.previews_differ else "exact")
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][1]
            if not wanted():
                return None
            if quality == "exact":
                pixels = self._exact(state.scene, self._style_map(state))
            else:
                pixels = self._preview(state)
            self._kept[key] = (state, pixels)  # holds the state, so that its id stays its own
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return pixels

    def crop(self, state: SceneState, box: tuple[int, int, int, int]) -> Tensor:
        """Return a window of a scene's preview, which is not kept; top, left, bottom, right."""
        with self._busy:
            pixels = self._preview(state)
        scale = state.size[0] // pixels.shape[1]
        top, left, bottom, right = (side // scale for side in box)
        return pixels[:, top : bottom + 1, left : right + 1].contiguous()

    def chosen_styles(self, state: SceneState) -> dict[int, StyleValue]:
        """Return the style of each region: a centre's number, or the style that was encoded."""
        if self.styles is None:
            return {}
        chosen: dict[int, StyleValue] = dict(choose(state.scene, self.styles.centres))
        return chosen | state.given_styles

    def encoded(self, image: Tensor, regions: Tensor | None = None) -> dict[int, list[float]]:
        """Return the styles that the encoder sees in a photograph, by region.

        Args:
            image: uint8 3 x H x W.
            regions: ids H x W; None: the whole photograph is one region, 0.

        Raises:
            UsageError: the method has no encoder.
        """
        if self.styles is None:
            raise UsageError("the method has no feature encoder; 'ours-styles' has")
        encoder, device = self.styles.encoder, self._exact.device
        if regions is None:
            height, width = (
                max(encoder.divisor, side // encoder.divisor * encoder.divisor)
                for side in image.shape[-2:]
            )
            image = resize_photograph(image, height, width)
            regions = torch.zeros((height, width), dtype=torch.int32)
        with self._busy, torch.no_grad():
            encoder.to(device).eval()
            given = to_network_range(image[None].to(device))
            found = encoder(given, regions[None].to(device))[0].cpu().clamp(-1, 1)
        ids, first = _first_pixels(regions)
        return {
            int(region): [float(value) for value in found[:, row, column]]
            for region, (row, column) in zip(ids, first, strict=True)
        }

    def _preview(self, state: SceneState) -> Tensor:
        scene, styles = state.scene, self._style_map(state)
        if self._halved:
            height, width = (side // 2 for side in state.size)
            scene = scene.resized(height, width)
            styles = None if styles is None else resize_nearest(styles, height, width)
        return self._quick(scene, styles)

    def _style_map(self, state: SceneState) -> Tensor | None:
        if self.styles is None:
            return None
        return given_style_map(state.scene, self.styles.centres, state.given_styles)


def _first_pixels(regions: Tensor) -> tuple[list[int], list[tuple[int, int]]]:
    flat, width = regions.flatten(), regions.shape[1]
    ids, place = flat.unique(return_inverse=True)
    first = torch.full((len(ids),), flat.numel(), dtype=torch.int64)
    first.scatter_reduce_(0, place, torch.arange(flat.numel()), "amin")
    return ids.tolist(), [divmod(int(one), width) for one in first]


def box_of(state: SceneState, region: int, margin: float = 0.35) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of a window around a region, a little wider than it."""
    mask = state.scene.regions == state.region(region).region
    rows, columns = (torch.nonzero(mask.any(dim=1 - side)).flatten() for side in (0, 1))
    height, width = state.size
    across = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    extra = max(4, round(across * margin))
    return (
        max(0, int(rows[0]) - extra),
        max(0, int(columns[0]) - extra),
        min(height, int(rows[-1]) + 1 + extra),
        min(width, int(columns[-1]) + 1 + extra),
    )
