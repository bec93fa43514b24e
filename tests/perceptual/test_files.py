"""Perceptual networks on disk: what is read back, and every file that is not what it should be."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import shutil
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import Result
from conftest import write_perceptual
from safetensors.torch import load_file
from torch import nn
from torchvision.models import vgg19 as torchvision_vgg19

from hdbench.errors import CheckpointError, UsageError
from hdbench.library import Library
from hdbench.perceptual import files
from hdbench.perceptual.files import (
    VGG19_DIGEST,
    VGG19_FILE,
    load_perceptual,
    load_vgg19,
    read_perceptual_card,
)
from hdbench.schema.perceptual import PERCEPTUAL_CARD, PERCEPTUAL_WEIGHTS
from hdbench.segmentation.segmenter import ADAPTERS
from hdbench.streets.files import SPLITS
from hdbench.streets.scene import draw_scene, scene_name

Cli = Callable[..., Result]
SHIPPED = "streets-perceptual-v1"


def edit(folder: Path, **values: object) -> None:
    """Change keys of a network's card; None takes one away."""
    path = folder / PERCEPTUAL_CARD
    card = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in card.items() if value is not None}))


# -- a folder of weights and card -----------------------------------------------------------------


def test_a_network_in_half_precision_is_read_back_as_it_was_rounded(tmp_path: Path) -> None:
    folder = write_perceptual(tmp_path / "net")
    stored = load_file(folder / PERCEPTUAL_WEIGHTS)
    assert {value.dtype for value in stored.values()} == {torch.float16}
    network = load_perceptual(folder)
    for name, value in network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, stored[name].float())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_no_flipped_byte_goes_unseen(tmp_path: Path) -> None:
    """Or it is in the header's notes, which say nothing about the tensors."""
    folder = write_perceptual(tmp_path / "net")
    expected = {name: value.clone() for name, value in load_perceptual(folder).state_dict().items()}
    path = folder / PERCEPTUAL_WEIGHTS
    whole = path.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    notes = range(whole.index(b"__metadata__"), whole.index(b"}", whole.index(b"__metadata__")) + 1)
    positions = [*range(0, header, 5), *range(header, len(whole), len(whole) // 40), len(whole) - 1]
    refused = 0
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= 0x11
        path.write_bytes(bytes(damaged))
        try:
            found = load_perceptual(folder).state_dict()
        except CheckpointError as error:
            refused += str(path) in str(error)
        else:
            assert position in notes or whole[position : position + 1] == b" "
            assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert refused > len(positions) - len(notes)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    folders = [write_perceptual(tmp_path / str(seed), seed) for seed in range(2)]
    shutil.copy(folders[1] / PERCEPTUAL_WEIGHTS, folders[0] / PERCEPTUAL_WEIGHTS)
    with pytest.raises(CheckpointError) as error:
        load_perceptual(folders[0])
    assert str(folders[0] / PERCEPTUAL_WEIGHTS) in str(error.value)
    assert read_perceptual_card(folders[0]).weights[:12] in str(error.value)


def test_a_card_of_another_width_names_the_shapes(tmp_path: Path) -> None:
    folder = write_perceptual(tmp_path / "net")
    edit(folder, channels=[8, 4, 8, 8, 8])
    with pytest.raises(CheckpointError, match=r"4x3x3x3.*8x3x3x3") as error:
        load_perceptual(folder)
    assert str(folder / PERCEPTUAL_WEIGHTS) in str(error.value)


@pytest.mark.parametrize(
    "key", ["architecture", "channels", "convolutions", "label_space", "window", "weights"]
)
def test_a_card_without_a_key_names_it(tmp_path: Path, key: str) -> None:
    folder = write_perceptual(tmp_path / "net")
    edit(folder, **{key: None})
    with pytest.raises(CheckpointError) as error:
        load_perceptual(folder)
    assert str(folder / PERCEPTUAL_CARD) in str(error.value)
    assert key in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("architecture", "pspnet"),
        ("channels", [4, 4, 8, 8]),
        ("convolutions", [1, 2, 1, 1, 1, 1]),
        ("channels", [4, 4, 8, 8, 0]),
        ("window", [64]),
        ("label_space", 5),
        ("test_accuracy", 1.5),
        ("vgg", True),
    ],
)
def test_a_card_that_says_what_it_cannot_mean_names_the_key(
    tmp_path: Path, key: str, value: object
) -> None:
    folder = write_perceptual(tmp_path / "net")
    edit(folder, **{key: value})
    with pytest.raises(CheckpointError) as error:
        load_perceptual(folder)
    assert str(folder / PERCEPTUAL_CARD) in str(error.value)
    assert key in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe{}", b"null"])
def test_a_damaged_card_is_named(tmp_path: Path, content: bytes) -> None:
    folder = write_perceptual(tmp_path / "net")
    (folder / PERCEPTUAL_CARD).write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        load_perceptual(folder)
    assert str(folder / PERCEPTUAL_CARD) in str(error.value)


@pytest.mark.parametrize("length", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path: Path, length: float) -> None:
    for name in (PERCEPTUAL_CARD, PERCEPTUAL_WEIGHTS):
        folder = write_perceptual(tmp_path / name)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(length * len(content))])
        with pytest.raises(CheckpointError) as error:
            load_perceptual(folder)
        assert str(folder / name) in str(error.value)


@pytest.mark.parametrize("name", [PERCEPTUAL_CARD, PERCEPTUAL_WEIGHTS])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_perceptual(tmp_path / "net")
    (folder / name).unlink()
    with pytest.raises(CheckpointError) as error:
        load_perceptual(folder)
    assert str(folder / name) in str(error.value)


def test_a_segmenters_folder_is_no_perceptual_network() -> None:
    folder = Library().segmenter("streets-pspnet-v1")
    for read in (read_perceptual_card, load_perceptual):
        with pytest.raises(UsageError) as error:
            read(folder)
        assert str(folder) in str(error.value)
        assert "segmenter.json" in str(error.value)


# -- the one that ships ---------------------------------------------------------------------------


def test_the_network_that_ships_is_small_sound_and_no_segmenter() -> None:
    """Loading checks its tensors against the digest on its card."""
    folder = Library().perceptual(SHIPPED)
    card = read_perceptual_card(folder)
    assert [
        tuple(maps.shape[1:]) for maps in load_perceptual(folder)(torch.zeros(1, 3, 32, 64))
    ] == [(channels, 32 >> n, 64 >> n) for n, channels in enumerate(card.channels)]
    assert (folder / PERCEPTUAL_WEIGHTS).stat().st_size < 2 * 2**20
    assert card.architecture not in ADAPTERS
    assert not (folder / "segmenter.json").exists()


def test_the_network_that_ships_is_of_the_recipe_of_streets() -> None:
    card = read_perceptual_card(Library().perceptual(SHIPPED))
    streets = Library().benchmark("streets")
    assert streets.perceptual.name == SHIPPED
    recipe = streets.perceptual.training
    assert recipe is not None
    assert recipe.split == "perceptual"
    scenes = SPLITS[recipe.split].scenes
    steps = recipe.epochs * (scenes // recipe.batch_size)
    assert card.training == {**recipe.model_dump(), "seed": 0, "steps": steps}
    assert card.window == [streets.size.width, streets.size.height]
    assert card.trained_on == f"streets/perceptual, {scenes} scenes"


def test_its_scenes_are_nobody_elses() -> None:
    seeds = {name: split.seed for name, split in SPLITS.items()}
    assert len(set(seeds.values())) == len(seeds)
    names = [scene_name(split.seed, n) for split in SPLITS.values() for n in range(split.scenes)]
    assert len(set(names)) == len(names)
    others = {"train", "val", "judge", "watch"}
    assert others | {"perceptual"} == set(seeds)
    drawn = {name: [draw_scene(seed, n, 64, 32) for n in range(3)] for name, seed in seeds.items()}
    for mine in drawn["perceptual"]:
        for theirs in (scene for name in others for scene in drawn[name]):
            assert mine.image is not None
            assert theirs.image is not None
            assert not np.array_equal(mine.image.numpy(), theirs.image.numpy())
            assert not np.array_equal(mine.label.numpy(), theirs.label.numpy())


# -- torchvision's VGG-19 -------------------------------------------------------------------------

#: Layer index in torchvision's VGG-19 of relu1_1, relu2_1, relu3_1, relu4_1, relu5_1.
RELU_LAYERS = (1, 6, 11, 20, 29)


@pytest.fixture
def vgg_layers() -> nn.Sequential:
    """The feature layers of torchvision's VGG-19 with random weights; its head stays unbuilt."""
    with torch.device("meta"):
        network = torchvision_vgg19(weights=None, init_weights=False)
    layers = network.features.to_empty(device="cpu")
    assert isinstance(layers, nn.Sequential)
    torch.manual_seed(0)
    for parameter in layers.parameters():
        nn.init.normal_(parameter, std=0.02)
    return layers


def published(monkeypatch: pytest.MonkeyPatch, path: Path) -> Path:
    """Make a file the one that torchvision publishes."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(files, "VGG19_DIGEST", digest[:8])
    return path


@pytest.mark.slow
def test_the_published_file_gives_the_features_of_torchvisions_layers(
    tmp_path: Path, vgg_layers: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {f"features.{name}": value for name, value in vgg_layers.state_dict().items()}
    torch.save({**state, "classifier.6.bias": torch.zeros(3)}, tmp_path / VGG19_FILE)
    network = load_vgg19(published(monkeypatch, tmp_path / VGG19_FILE))
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    for index, found in zip(RELU_LAYERS, network(images), strict=True):
        torch.testing.assert_close(found, vgg_layers[: index + 1](images))


def test_a_file_that_is_not_torchvisions_state_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.pth"
    torch.save({"features.0.weight": torch.zeros(2)}, path)
    for _ in range(2):
        with pytest.raises(CheckpointError) as error:
            load_vgg19(published(monkeypatch, path))
        assert str(path) in str(error.value)
        path.write_bytes(b"no zip file, no pickle")


def test_a_file_of_another_digest_is_refused_before_it_is_read(
    tmp_path: Path, bare_cli: Cli
) -> None:
    path = tmp_path / VGG19_FILE
    torch.save({}, path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    with pytest.raises(CheckpointError) as error:
        load_vgg19(path)
    result = bare_cli("fetch", "vgg19", "--output", path)
    assert result.exit_code == 1
    for message in (str(error.value), result.stderr):
        assert str(path) in message
        assert found in message
        assert VGG19_DIGEST in message
    assert path.is_file()  # it is the user's


def test_without_a_file_it_says_where_one_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match="hdbench fetch vgg19") as error:
        load_vgg19(None)
    assert str(tmp_path / "hub" / "checkpoints" / VGG19_FILE) in str(error.value)
    assert "--vgg-weights" in str(error.value)


# -- fetching it ----------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 1024


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers as its server's path says; ``asked`` collects the paths."""

    asked: list[str]

    def do_GET(self) -> None:
        """Send the file, another one, half of it, or nothing at all."""
        self.asked.append(self.path)
        kind = self.path.removeprefix("/")
        if kind == "gone":
            self.send_error(404)
            return
        if kind == "silent":
            self._hang_up()
            return
        self.send_response(200)
        if kind == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % len(CONTENT) + CONTENT[:1000])
            return
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if kind == "wrong":
            self.wfile.write(CONTENT[::-1])
        elif kind == "reset":
            self.wfile.write(CONTENT[:1000])
            self._hang_up()
        else:
            self.wfile.write(CONTENT[: len(CONTENT) // 2] if kind == "half" else CONTENT)

    def _hang_up(self) -> None:
        """Reset the connection, as a firewall does."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        os.close(self.connection.detach())

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    """A server on this machine; its handler's class has the paths that were asked for."""
    handler = type("Handler", (Answers,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make an address the one that torchvision publishes VGG-19 at, and CONTENT the file."""
    monkeypatch.setattr(files, "VGG19_DIGEST", hashlib.sha256(CONTENT).hexdigest()[:8])
    monkeypatch.setenv("no_proxy", "*")

    def at(address: str) -> None:
        weights = SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(url=address))
        monkeypatch.setattr(files, "VGG19_Weights", weights)

    return at


def address_of(server: http.server.ThreadingHTTPServer, kind: str) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{kind}"


def asked_of(server: http.server.ThreadingHTTPServer) -> list[str]:
    return getattr(server.RequestHandlerClass, "asked")  # noqa: B009 (of the class made above)


def test_fetch_downloads_the_file_once(
    bare_cli: Cli, tmp_path: Path, server: http.server.ThreadingHTTPServer, publish
) -> None:
    publish(address_of(server, "right"))
    path = tmp_path / "weights" / "vgg.pth"
    for _ in range(2):
        result = bare_cli("fetch", "vgg19", "--output", path)
        assert result.exit_code == 0, result.stderr
        assert result.stdout == f"vgg19: {path}\n"
        assert path.read_bytes() == CONTENT
    assert asked_of(server) == ["/right"]
    assert list(path.parent.iterdir()) == [path]


def test_fetch_puts_it_where_training_looks_for_it(
    bare_cli: Cli,
    tmp_path: Path,
    server: http.server.ThreadingHTTPServer,
    publish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    publish(address_of(server, "right"))
    assert bare_cli("fetch", "vgg19").exit_code == 0
    assert files.default_vgg19_path().is_relative_to(tmp_path)
    assert files.default_vgg19_path().read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["wrong", "half", "gone", "silent", "reset", "chunks"])
def test_what_comes_and_is_not_the_file_leaves_nothing_behind(
    bare_cli: Cli, tmp_path: Path, server: http.server.ThreadingHTTPServer, publish, kind: str
) -> None:
    publish(address_of(server, kind))
    path = tmp_path / "weights" / "vgg.pth"
    result = bare_cli("fetch", "vgg19", "--output", path)
    assert result.exit_code == 1, result.output
    assert address_of(server, kind) in result.stderr
    assert "--output" not in result.stderr  # nothing is wrong with the folder
    assert asked_of(server) == [f"/{kind}"]
    assert list(path.parent.iterdir()) == []


def test_without_a_network_it_says_how_to_go_on(bare_cli: Cli, tmp_path: Path, publish) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    address = f"http://127.0.0.1:{port}/{VGG19_FILE}"
    publish(address)
    path = tmp_path / "weights" / "vgg.pth"
    result = bare_cli("fetch", "vgg19", "--output", path)
    assert result.exit_code == 1
    assert address in result.stderr
    assert str(path) in result.stderr
    assert list(path.parent.iterdir()) == []


def test_a_folder_is_no_place_for_a_file(
    bare_cli: Cli, tmp_path: Path, server: http.server.ThreadingHTTPServer, publish
) -> None:
    publish(address_of(server, "right"))
    folder = tmp_path / "weights"
    folder.mkdir()
    result = bare_cli("fetch", "vgg19", "--output", folder)
    assert result.exit_code == 2
    assert str(folder) in result.stderr
    assert asked_of(server) == []
    assert list(folder.iterdir()) == []
