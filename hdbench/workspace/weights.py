"""Networks that were imported into a workspace, beside the file of their method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdbench.errors import CheckpointError, UsageError
from hdbench.runtime.weights import require_digest, stored_digest
from hdbench.schema.base import identity_of
from hdbench.schema.benchmark import Size
from hdbench.schema.generator import DISCRIMINATOR_WEIGHTS, ENCODER_WEIGHTS, GENERATOR_WEIGHTS
from hdbench.schema.method import Method, Weights
from hdbench.schema.result import WeightsFacts
from hdbench.training.config import require_fitting_size
from hdbench.workspace.bench import Bench


@dataclass(frozen=True)
class StoredNetworks:
    """The files of a generator and of the networks that were trained with it."""

    generator: Path
    #: None where there is none.
    discriminator: Path | None
    encoder: Path | None


def imported_networks(bench: Bench, method: Weights) -> StoredNetworks:
    """Return the files of imported networks, checked to be those that their method names.

    Raises:
        UsageError: the benchmark has other labels, or a size that does not suit the generator.
        CheckpointError: a file is gone, damaged, or holds other weights.
    """
    if method.label_space != bench.space.name:
        raise UsageError(
            f"'{method.name}' reads labels of '{method.label_space}', benchmark "
            f"'{bench.benchmark.name}' has labels of '{bench.space.name}' "
            f"({bench.space.channels} channels); choose a benchmark with labels of "
            f"'{method.label_space}'"
        )
    require_fitting_size(method, bench.benchmark)
    folder = bench.workspace.imported_weights(method.name)
    files: dict[str, Path] = {}
    for name, digest in stored_files(method).items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(
                f"{path}: the weights of '{method.name}' are gone.\n"
                f"Next: 'hdbench import-weights FILE --as {method.name} --restart'"
            )
        [found] = bench.file_digests.of([path], stored_digest)
        require_digest(path, found, digest)
        files[name] = path
    return StoredNetworks(
        files[GENERATOR_WEIGHTS], files.get(DISCRIMINATOR_WEIGHTS), files.get(ENCODER_WEIGHTS)
    )


def stored_files(method: Weights) -> dict[str, str]:
    """Return the digest of each imported network by the name of its file."""
    digests = {
        GENERATOR_WEIGHTS: method.digests.generator,
        DISCRIMINATOR_WEIGHTS: method.digests.discriminator,
        ENCODER_WEIGHTS: method.digests.encoder,
    }
    return {name: digest for name, digest in digests.items() if digest is not None}


def weights_identity(size: Size, method: Weights) -> dict[str, Any]:
    """Return everything that images of a size by imported weights depend on but labels."""
    return {
        "kind": "weights",
        "version": 1,
        "input": identity_of(method.input),
        "generator": identity_of(method.generator),
        "encoder": None if method.encoder is None else identity_of(method.encoder),
        "weights": method.digests.generator,
        "encoder_weights": method.digests.encoder,
        "size": identity_of(size),
    }


def weights_facts(method: Method) -> WeightsFacts | None:
    """Return what a result records of imported weights; None for any other method."""
    if method.images_from != "weights":
        return None
    return WeightsFacts(weights=method.digests.generator, source=method.source)
