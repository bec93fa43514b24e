"""``config.json`` of a folder for the model hub: a generator and what it was made for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hdbench.schema.method import Weights
from hdbench.schema.record import Record

HUB_CONFIG = "config.json"
HUB_WEIGHTS = "model.safetensors"
HUB_CARD = "README.md"


class HubConfig(Record):
    """A generator that is published; its weights are beside it."""

    library: Literal["hdbench"]
    #: The version of this format.
    version: Literal[1]
    #: The generator as a method of kind ``weights``.
    method: Weights
    #: Channels of the one-hot labels, and the classes by their ids.
    label_channels: Annotated[int, Field(ge=1)]
    classes: dict[str, str]
    #: Width and height of the images that it was made for, in pixels.
    size: Annotated[list[int], Field(min_length=2, max_length=2)]
