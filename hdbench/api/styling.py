"""The styles of an image that is synthesized from Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hdbench.data.scene import Scene
from hdbench.errors import UsageError
from hdbench.networks.encoder import FeatureEncoder
from hdbench.schema.styles import Styles
from hdbench.styles import (
    DEFAULT_STYLE,
    Style,
    centre_styling,
    choose,
    encoder_styling,
    style_map,
)

#: ``random``, ``random:7``, ``center:3``; centres by the ids of instances; a photograph uint8
#: H x W x 3; or a style for each pixel, float S x H x W.
StyleChoice = str | Mapping[int, int] | NDArray[Any] | Tensor


@dataclass(frozen=True)
class StyleSource:
    """What a method with a feature encoder takes styles from."""

    encoder: FeatureEncoder
    #: Centres by class; None where there are none beside the generator.
    styles: Styles | None
    #: Where they are looked for, for messages.
    where: str
    device: torch.device

    def of(self, scene: Scene, style: StyleChoice | None) -> Tensor:
        """Return the styles of a scene, float S x H x W.

        Raises:
            UsageError: the choice is none that this generator can follow.
        """
        if isinstance(style, np.ndarray | Tensor):
            return self._of_pixels(scene, torch.as_tensor(style))
        if self.styles is None:
            raise UsageError(
                f"{self.where}: has no centres of styles (styles.json); pass a photograph, whose "
                "styles are encoded, or a style for each pixel.\n"
                "Next: 'hdbench styles METHOD' makes the centres of a run"
            )
        if isinstance(style, Mapping):
            return style_map(scene, self.styles, choose(scene, self.styles, changed=style))
        chosen = DEFAULT_STYLE if style is None else Style.parse(style)
        if chosen.kind == "encode":
            raise UsageError("style 'encode': pass the photograph itself, uint8 H x W x 3")
        return centre_styling(self.styles, chosen)(scene)

    def _of_pixels(self, scene: Scene, pixels: Tensor) -> Tensor:
        size, channels = list(scene.size), self.encoder.style_channels
        if pixels.dtype == torch.uint8 and list(pixels.shape) == [*size, 3]:
            seen = replace(scene, image=pixels.permute(2, 0, 1).contiguous())
            return encoder_styling(self.encoder, self.device)(seen)
        if pixels.is_floating_point() and list(pixels.shape) == [channels, *size]:
            return pixels.float()
        raise UsageError(
            f"style: {str(pixels.dtype).removeprefix('torch.')} of shape {list(pixels.shape)}; "
            f"expected a photograph, uint8 {[*size, 3]}, or styles, float {[channels, *size]}"
        )
