"""From a photograph to a scene: labels by the segmenter, instances by what is joined."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy import ndimage
from torch import Tensor

from hdbench.data.labels import LabelSpace
from hdbench.data.scene import Scene, resize_photograph
from hdbench.editing.session import MOST_PIXELS
from hdbench.editing.state import CITYSCAPES, Regions
from hdbench.errors import DataError
from hdbench.schema.scoring import SegmenterInput
from hdbench.segmentation.prediction import predict
from hdbench.segmentation.segmenter import Segmenter


def fitted(image: Tensor, height: int, width: int) -> Tensor:
    """Return the middle of a uint8 3 x H x W photograph at another size, not distorted."""
    rows, columns = image.shape[-2:]
    if rows * width > columns * height:  # too high
        kept_rows, kept_columns = max(1, round(columns * height / width)), columns
    else:
        kept_rows, kept_columns = rows, max(1, round(rows * width / height))
    top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
    middle = image[:, top : top + kept_rows, left : left + kept_columns].contiguous()
    return resize_photograph(middle, height, width)


def scene_of_photograph(
    name: str,
    image: Tensor,
    segmenter: Segmenter,
    policy: SegmenterInput,
    seen: tuple[int, int],
    space: LabelSpace,
    ids: Regions,
    instances: bool,
) -> Scene:
    """Return the scene that a segmenter sees in a photograph.

    Args:
        name: of the scene.
        image: uint8 3 x H x W.
        segmenter: predicts the label space's train ids.
        policy: how a scoring convention shows images to it.
        seen: height and width at which it sees them.
        space: the label space.
        ids: how the dataset gives ids to instances.
        instances: whether the scene gets an instance map. Pixels of a class with instances that are
            joined are one instance.
    """
    height, width = image.shape[-2:]
    shown = resize_photograph(image, *seen)
    train_ids = predict(segmenter, shown, height, width, policy).long()
    table = torch.tensor([entry.id for entry in space.scored], dtype=torch.uint8)
    label = table[train_ids]
    instance = torch.from_numpy(_joined(label.numpy(), ids)) if instances else None
    return Scene(name, label, instance, image)


def _joined(label: NDArray[np.uint8], ids: Regions) -> NDArray[np.int32]:
    """Return ids of instances: joined pixels of a class that has them, else the class's id."""
    instance = label.astype(np.int32)
    free = 256
    for thing in sorted(ids.things & set(np.unique(label).tolist())):
        parts, count = ndimage.label(label == thing, np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
        first = thing * CITYSCAPES if ids.cityscapes else free
        most = CITYSCAPES if ids.cityscapes else count
        number = np.minimum(np.asarray(parts) - 1, most - 1)
        instance = np.where(parts > 0, first + number, instance).astype(np.int32)
        free += count
    return instance


def read_upload(content: bytes, name: str) -> Tensor:
    """Return a photograph that somebody uploaded, as uint8 3 x H x W, upright.

    Raises:
        DataError: it is no whole PNG, JPEG or WebP, or has too many pixels to be one scene.
    """
    what = "expected a whole PNG, JPEG or WebP"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=["PNG", "JPEG", "WEBP"]) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise DataError(
                        f"{name}: {image.width}x{image.height}; at most {MOST_PIXELS:,} pixels"
                    )
                upright = ImageOps.exif_transpose(image).convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{name}: far too many pixels; at most {MOST_PIXELS:,}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"{name}: cannot be decoded ({str(error)[:120]}); {what}") from None
    return torch.from_numpy(np.array(upright)).permute(2, 0, 1).contiguous()
