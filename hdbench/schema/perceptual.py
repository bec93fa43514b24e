"""The card of a perceptual network: ``perceptual.json`` beside its weights."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from hdbench.schema.base import Positive, Table

#: The card's file, in the folder of a perceptual network.
PERCEPTUAL_CARD = "perceptual.json"
PERCEPTUAL_WEIGHTS = "perceptual.safetensors"


class PerceptualCard(Table):
    """What a perceptual network is and what it was trained on."""

    #: Always ``vgg``: no segmenter is of this architecture.
    architecture: Annotated[str, Field(pattern="^vgg$")]
    #: Channels of the five blocks.
    channels: Annotated[list[Positive], Field(min_length=5, max_length=5)]
    #: Convolutions of the five blocks.
    convolutions: Annotated[list[Positive], Field(min_length=5, max_length=5)]
    #: The label space that it was trained to segment.
    label_space: str
    #: Width and height of its training images, in pixels.
    window: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    #: Dataset, split and number of scenes.
    trained_on: str
    #: SHA-256 over the names of these scenes and the digests of their pixels.
    scenes_digest: str
    #: The recipe, seed and steps; for people.
    training: dict[str, Any]
    #: Pixel accuracy on the photographs of the test split, void left out.
    test_accuracy: Annotated[float, Field(ge=0, le=1)]
    #: SHA-256 over all tensors as fp32, the precision in which features are computed.
    weights: str
