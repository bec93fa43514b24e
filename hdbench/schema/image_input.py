"""What the ``[input]`` table of a benchmark says: scenes are made from images, not from labels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hdbench.schema.base import Positive, Rate, Table, Weight

#: How an input image gets another size (``hdbench/data/inputs.py``).
InputResize = Literal["bicubic-antialias", "maximum", "nearest"]


class Edges(Table):
    """Canny's edge detector (scikit-image), applied to photographs at their own size."""

    #: Standard deviation of the Gaussian that smooths the photograph, in its pixels.
    sigma: Rate
    #: Lower hysteresis threshold, of the gradient of a grey photograph from 0 to 1: an edge that
    #: is connected to a strong one ends where the gradient falls below.
    low: Weight
    #: Upper hysteresis threshold: an edge begins where the gradient is above.
    high: Weight

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low = {self.low:g} is above high = {self.high:g}")
        return self


class ImageInput(Table):
    """Scenes are made from images: RGB, grey, 16-bit, any number of channels."""

    kind: Literal["image"]
    #: Channels of each input file: 1 for grey, 3 for RGB.
    channels: Positive
    #: The lowest and the highest value that a file may hold; networks get them as -1 and 1.
    #: ``[0, 255]`` for 8 bits, ``[0, 65535]`` for 16.
    range: Annotated[list[float], Field(min_length=2, max_length=2)]
    #: ``bicubic-antialias`` for what photographs show, as photographs are resized. ``maximum`` for
    #: bright lines on black: no line is lost, and none turns grey. ``nearest`` for values of which
    #: no mean makes sense.
    resize: InputResize
    #: Whether methods may also draw a boundary map of instance or label maps; false: the input
    #: image is all that they are told.
    boundaries: bool
    #: The inputs are edge maps, which hdbench makes from the photographs; without this table the
    #: dataset has a file for each (layout ``images``).
    edges: Edges | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        low, high = self.range
        if not low < high:
            raise ValueError(f"range = {self.range}; expected the lowest value, then the highest")
        if self.edges is not None and (self.channels, self.range) != (1, [0, 255]):
            raise ValueError(
                f"channels = {self.channels} and range = {self.range}; edge maps have 1 channel "
                "and range = [0, 255]"
            )
        return self
