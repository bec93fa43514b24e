"""Perceptual networks on disk: a folder of weights and card, or torchvision's VGG-19 file."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import torch
from pydantic import ValidationError
from torchvision.models import VGG19_Weights

from hdbench.errors import CheckpointError, UsageError
from hdbench.library import CARD_FILE
from hdbench.networks.perceptual import PerceptualNetwork, vgg19
from hdbench.provenance import file_digest
from hdbench.runtime.weights import fitted, load_weights, read_weights, save_weights
from hdbench.schema.perceptual import PERCEPTUAL_CARD, PERCEPTUAL_WEIGHTS, PerceptualCard
from hdbench.storage import cannot_write, write_atomically

#: The file that torchvision publishes for VGG-19 trained on ImageNet. Its name holds the first
#: digits of its SHA-256.
VGG19_FILE = "vgg19-dcbb9e9d.pth"
VGG19_DIGEST = "dcbb9e9d"


def save_perceptual(folder: Path, network: PerceptualNetwork, card: PerceptualCard) -> None:
    """Write a network's weights and, last, its card.

    Raises:
        StorageError: the folder cannot be written.
    """
    facts = {"weights": card.weights}
    save_weights(folder / PERCEPTUAL_WEIGHTS, network, facts)
    write_atomically(folder / PERCEPTUAL_CARD, (card.model_dump_json(indent=2) + "\n").encode())


def read_perceptual_card(folder: Path) -> PerceptualCard:
    """Return the card of a perceptual network's folder.

    Raises:
        UsageError: the folder holds a segmenter; no method may be trained with what scores it.
        CheckpointError: there is no card, or it is damaged.
    """
    path = folder / PERCEPTUAL_CARD
    if not path.is_file() and (folder / CARD_FILE).is_file():
        raise UsageError(
            f"{folder}: this is a segmenter ({CARD_FILE}), which cannot be a perceptual network: "
            "a method that is trained with the network that scores it scores too high.\n"
            f"Next: name a folder with {PERCEPTUAL_CARD}, or train one: 'hdbench perceptual train'"
        )
    try:
        return PerceptualCard.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError:
        raise CheckpointError(
            f"{path}: no perceptual network here; expected a folder with {PERCEPTUAL_CARD} and "
            f"{PERCEPTUAL_WEIGHTS}; 'hdbench perceptual train' makes one"
        ) from None
    except (ValidationError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path}: not a perceptual network's card ({_first_line(error)})"
        ) from None


def load_perceptual(folder: Path) -> PerceptualNetwork:
    """Return the perceptual network of a folder, checked against its card.

    Raises:
        UsageError: the folder holds a segmenter.
        CheckpointError: a file is missing or damaged, or the weights are not the card's.
    """
    card = read_perceptual_card(folder)
    network = PerceptualNetwork(card.channels, card.convolutions)
    load_weights(folder / PERCEPTUAL_WEIGHTS, network, card.weights)
    return network


def default_vgg19_path() -> Path:
    """Return where torchvision keeps its copy of the VGG-19 weights on this machine."""
    return Path(torch.hub.get_dir()) / "checkpoints" / VGG19_FILE


def load_vgg19(weights: Path | None) -> PerceptualNetwork:
    """Return VGG-19 with ImageNet weights from a local torchvision file; nothing is downloaded.

    Without ``weights``, torchvision's cache is read. Raises CheckpointError if the file is missing,
    damaged, or not the one that torchvision publishes.
    """
    path = weights or default_vgg19_path()
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no VGG-19 weights here, and this benchmark's perceptual loss needs them.\n"
            f"Next: 'hdbench fetch vgg19' downloads them; without a network, copy {VGG19_FILE} "
            "from another machine and pass --vgg-weights FILE. Other ways: train 'ours-no-vgg', "
            'which has no perceptual loss, or set name = "own" in the benchmark\'s [perceptual].'
        )
    require_vgg19(path)
    network = vgg19()
    expected, state = network.state_dict(), read_weights(path)
    own = {name: value for name, value in state.items() if name in expected}  # no classifier
    network.load_state_dict(fitted(str(path), f"torchvision's {VGG19_FILE}", own, expected))
    return network


def fetch_vgg19(output: Path | None = None) -> Path:
    """Download torchvision's VGG-19 weights unless they are there, and return their file.

    Without ``output``, the file goes into torchvision's cache. Raises CheckpointError if the
    network cannot be reached, or the file is not the published one.
    """
    path = output or default_vgg19_path()
    if path.is_file():
        require_vgg19(path)
        return path
    address = VGG19_Weights.IMAGENET1K_V1.url
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # It downloads into a file beside this one and renames that once its digest is checked.
        torch.hub.download_url_to_file(address, str(path), hash_prefix=VGG19_DIGEST)
    except URLError as error:
        raise CheckpointError(
            f"{address}: cannot be reached ({error.reason}).\n"
            f"Next: download it on a machine with a network, copy it here as {path}, and run the "
            "same command again, which checks it"
        ) from None
    except RuntimeError as error:  # the digest
        raise CheckpointError(
            f"{address}: the download is not the published file ({error}); it was deleted.\n"
            "Next: try again; a proxy may have sent something else"
        ) from None
    except (ConnectionError, TimeoutError, HTTPException) as error:
        raise CheckpointError(
            f"{address}: the download broke off ({type(error).__name__}: {error}); nothing was "
            "kept.\nNext: try again"
        ) from None
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def require_vgg19(path: Path) -> None:
    """Check by SHA-256 that a file is torchvision's; raises CheckpointError if not."""
    found = file_digest(path)
    if not found.startswith(VGG19_DIGEST):
        raise CheckpointError(
            f"{path}: its SHA-256 begins with {found[:8]}, that of torchvision's {VGG19_FILE} "
            f"with {VGG19_DIGEST}; the file is damaged or another one.\n"
            "Next: delete it and run 'hdbench fetch vgg19' again"
        )


def _first_line(error: Exception) -> str:
    return "; ".join(str(error).splitlines()[:3])
