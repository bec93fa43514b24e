"""Folders for the model hub: read, and checked to be whole."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from hdbench.data.labels import LabelSpace
from hdbench.errors import CheckpointError, UsageError, listing
from hdbench.runtime.weights import require_weights
from hdbench.schema.generator import DISCRIMINATOR_WEIGHTS, ENCODER_WEIGHTS
from hdbench.schema.hub import HUB_CONFIG, HUB_WEIGHTS, HubConfig
from hdbench.schema.record import first_problem

#: Files of a folder for the hub that hdbench reads.
HUB_FILES = (HUB_CONFIG, HUB_WEIGHTS, DISCRIMINATOR_WEIGHTS, ENCODER_WEIGHTS)


def read_hub_folder(folder: Path) -> HubConfig:
    """Return what a folder for the hub says of its generator, whose weights are those beside it.

    Raises:
        CheckpointError: a file is missing or damaged, or holds other weights than the folder says.
    """
    path = folder / HUB_CONFIG
    try:
        config = HubConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); expected a folder that 'hdbench "
            "export-weights --hub' wrote"
        ) from None
    except ValidationError as error:
        raise CheckpointError(
            f"{path}: {first_problem(error)}; expected the configuration that 'hdbench "
            "export-weights --hub' writes"
        ) from None
    digests = config.method.digests
    require_weights(folder / HUB_WEIGHTS, digests.generator)
    for name, digest in (
        (DISCRIMINATOR_WEIGHTS, digests.discriminator),
        (ENCODER_WEIGHTS, digests.encoder),
    ):
        if digest is not None:
            require_weights(folder / name, digest)
    return config


def require_same_labels(where: str, config: HubConfig, space: LabelSpace) -> None:
    """Raise UsageError unless a published generator reads the labels of a label space."""
    lines = [
        f"id {key}: '{config.classes.get(key, 'unknown')}' there, '{here}' here"
        for key, here in classes_of(space).items()
        if config.classes.get(key) != here
    ]
    lines += [
        f"id {key}: '{there}' there, unknown here"
        for key, there in config.classes.items()
        if key not in classes_of(space)
    ]
    if config.label_channels != space.channels:
        lines.insert(0, f"{config.label_channels} channels there, {space.channels} here")
    if lines:
        raise UsageError(
            f"{where}: reads labels of '{config.method.label_space}', not those of "
            f"'{space.name}'\n{listing(lines, 6)}"
        )


def classes_of(space: LabelSpace) -> dict[str, str]:
    """Return the names of a label space's classes by their ids, as JSON has them."""
    return {str(entry.id): entry.name for entry in space.classes}
