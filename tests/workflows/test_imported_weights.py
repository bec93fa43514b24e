"""Imported weights as methods, exported ones as files: round trips, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from conftest import constant_segmenter, evaluated, reopened, trainable

from hdbench.errors import CheckpointError, HdbenchError, UsageError
from hdbench.networks.official import (
    DiscriminatorFacts,
    EncoderFacts,
    GeneratorFacts,
    to_official,
)
from hdbench.provenance import file_digest
from hdbench.reporting.footnotes import footnotes
from hdbench.runtime.weights import read_weights
from hdbench.schema.generator import GENERATOR_WEIGHTS
from hdbench.schema.method import Weights
from hdbench.workflows.export_weights import export_hub, export_official
from hdbench.workflows.import_weights import OfficialFiles, import_hub, import_official
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace
from hdbench.workspace.runs import generator_file, images_identity, run_digest

Cli = Callable[..., Result]
CPU = torch.device("cpu")
LABELS = 12  # of CamVid


def write_official(folder: Path, facts, name: str, seed: int = 0) -> Path:
    """Write a file of random weights, as the official implementation does."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(to_official(facts.build()), folder / name)
    return folder / name


def generator_at(
    folder: Path, channels: int = LABELS + 1, enhancers: int = 0, seed: int = 0
) -> Path:
    facts = GeneratorFacts(channels, 8, 2, 1, enhancers, 1)
    return write_official(folder, facts, "latest_net_G.pth", seed)


@pytest.fixture
def theirs(tmp_path: Path) -> OfficialFiles:
    """A generator with its discriminators, for CamVid's labels and boundaries."""
    folder = tmp_path / "theirs"
    discriminators = DiscriminatorFacts(LABELS + 1 + 3, 8, 3, 2)
    return OfficialFiles(
        generator_at(folder), write_official(folder, discriminators, "latest_net_D.pth")
    )


def imported(bench: Bench, name: str = "theirs") -> Weights:
    method = reopened(bench).library.method(name)
    assert isinstance(method, Weights)
    return method


def images_of(bench: Bench, method: Weights) -> list[bytes]:
    paths = synthesize_method(reopened(bench), method, 0, CPU)
    return [path.read_bytes() for path in paths]


# -- an import is a method like any other ----------------------------------------------------------


def test_an_import_is_scored_and_says_that_it_was_not_trained_here(
    bench: Bench, theirs: OfficialFiles
) -> None:
    import_official(bench, "theirs", theirs, title="Theirs")
    bench = reopened(bench)
    method = imported(bench)
    assert method.title == "Theirs"
    assert not method.is_trained
    assert method.generator.network == "coarse-to-fine"
    assert method.generator.base_channels == 8  # the tiny benchmark would leave a sixteenth
    segmenter = constant_segmenter(3, bench.space, 64, 48)
    found = evaluated(bench, ["theirs"], 3, segmenter, CPU)
    assert found[0].seed == 0
    assert found[0].run == run_digest(bench, method, 0)
    [note] = [
        line
        for line in footnotes({one.method: [one] for one in found})
        if line.startswith("theirs")
    ]
    assert "imported weights" in note
    assert method.digests.generator[:8] in note
    assert file_digest(theirs.generator)[:12] in note


def test_its_images_are_those_of_the_official_weights(
    bench: Bench, theirs: OfficialFiles, tmp_path: Path
) -> None:
    method = import_official(bench, "theirs", theirs)
    first = images_of(bench, method)
    assert len(set(first)) == 3
    other = OfficialFiles(generator_at(tmp_path / "other", seed=1))
    with pytest.raises(CheckpointError, match=r"theirs\.toml"):
        import_official(reopened(bench), "theirs", other)
    assert images_of(bench, imported(bench)) == first  # a refusal changes nothing
    import_official(reopened(bench), "theirs", other, restart=True)
    assert not set(images_of(bench, imported(bench))) & set(first)


def test_the_same_weights_again_change_nothing(bench: Bench, theirs: OfficialFiles) -> None:
    import_official(bench, "theirs", theirs)
    files = sorted(bench.workspace.methods().rglob("*.*"))
    before = [path.stat().st_mtime_ns for path in files if path.is_file()]
    import_official(reopened(bench), "theirs", theirs)
    assert [path.stat().st_mtime_ns for path in files if path.is_file()] == before


def test_its_identity_is_the_weights_not_the_name(bench: Bench, theirs: OfficialFiles) -> None:
    import_official(bench, "theirs", theirs)
    import_official(bench, "again", OfficialFiles(theirs.generator))
    one, other = imported(bench), imported(bench, "again")
    bench = reopened(bench)
    assert images_identity(bench, one, 0) == images_identity(bench, other, 0)
    assert images_identity(bench, one, 0)["weights"] == one.digests.generator


def test_replaced_weights_are_refused_wherever_they_are_used(
    bench: Bench, theirs: OfficialFiles
) -> None:
    method = import_official(bench, "theirs", theirs)
    path = bench.workspace.imported_weights("theirs") / GENERATOR_WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=method.digests.generator[:12]):
        generator_file(reopened(bench), method, 0)
    path.unlink()
    with pytest.raises(CheckpointError, match="--restart"):
        generator_file(reopened(bench), method, 0)
    import_official(reopened(bench), "theirs", theirs)  # the same file mends it
    assert generator_file(reopened(bench), method, 0) == path


@pytest.mark.parametrize(("channels", "boundaries"), [(12, "none"), (13, "instances-or-labels")])
def test_the_channels_say_what_the_generator_reads(
    bench: Bench, tmp_path: Path, channels: int, boundaries: str
) -> None:
    files = OfficialFiles(generator_at(tmp_path / "g", channels))
    assert import_official(bench, "theirs", files).input.boundaries == boundaries


@pytest.mark.parametrize("enhancers", [1, 2])
def test_enhancers_are_found_in_the_file(bench: Bench, tmp_path: Path, enhancers: int) -> None:
    files = OfficialFiles(generator_at(tmp_path / "g", enhancers=enhancers))
    method = import_official(bench, "theirs", files)
    assert method.generator.enhancers == enhancers
    with pytest.raises(CheckpointError) as error:  # another number of enhancers is another method
        import_official(reopened(bench), "theirs", OfficialFiles(generator_at(tmp_path / "h")))
    assert f"generator.enhancers: {enhancers} -> 0" in str(error.value)


def test_a_generator_of_styles_needs_its_encoder(bench: Bench, tmp_path: Path) -> None:
    generator = generator_at(tmp_path / "g", LABELS + 1 + 3)
    encoder = write_official(tmp_path / "g", EncoderFacts(4, 2, 3), "latest_net_E.pth")
    with pytest.raises(UsageError, match="--encoder"):
        import_official(bench, "theirs", OfficialFiles(generator))
    method = import_official(bench, "theirs", OfficialFiles(generator, encoder=encoder))
    assert method.encoder is not None
    assert method.encoder.style_channels == 3
    assert generator_file(reopened(bench), method, 0).is_file()


# -- what is refused -------------------------------------------------------------------------------


class Harmful:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (str(self.victim),)


def refusal(bench: Bench, files: OfficialFiles) -> str:
    with pytest.raises(HdbenchError) as error:
        import_official(bench, "theirs", files)
    assert not bench.workspace.imported_weights("theirs").exists()
    assert not (bench.workspace.methods() / "theirs.toml").exists()
    return str(error.value)


def test_a_truncated_file_is_named(bench: Bench, theirs: OfficialFiles) -> None:
    theirs.generator.write_bytes(theirs.generator.read_bytes()[:-2000])
    assert str(theirs.generator) in refusal(bench, theirs)


def test_code_in_a_file_does_not_run(bench: Bench, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "latest_net_G.pth"
    torch.save({"model.1.weight": Harmful(victim)}, path)
    assert "mkdir" in refusal(bench, OfficialFiles(path))
    assert not victim.exists()


def test_a_discriminator_is_no_generator(bench: Bench, theirs: OfficialFiles) -> None:
    assert theirs.discriminator is not None
    message = refusal(bench, OfficialFiles(theirs.discriminator))
    assert str(theirs.discriminator) in message
    assert "--discriminator" in message


def test_a_discriminator_of_other_channels_is_refused(bench: Bench, tmp_path: Path) -> None:
    facts = DiscriminatorFacts(39, 8, 3, 2)
    path = write_official(tmp_path, facts, "latest_net_D.pth")
    message = refusal(bench, OfficialFiles(generator_at(tmp_path), path))
    assert "39 channels" in message
    assert "16" in message  # 12 labels, boundaries, image


@pytest.mark.parametrize("channels", [35, 36])
def test_other_labels_are_refused_and_the_fitting_ones_named(
    bench: Bench, tmp_path: Path, channels: int
) -> None:
    message = refusal(bench, OfficialFiles(generator_at(tmp_path, channels)))
    assert f"{channels} channels" in message
    assert "'cityscapes' " + ("with " if channels == 36 else "without ") in message
    assert "'camvid' are 12, or 13" in message


def test_on_a_benchmark_with_other_labels_an_import_is_refused(
    bench: Bench, theirs: OfficialFiles
) -> None:
    method = import_official(bench, "theirs", theirs)
    other = open_bench(Workspace(bench.workspace.root, None, "streets-smoke"))
    with pytest.raises(UsageError) as error:
        generator_file(other, method, 0)
    assert "'camvid'" in str(error.value)
    assert "'cityscapes' (35 channels)" in str(error.value)


def test_sides_that_do_not_divide_are_named_with_those_that_do(
    bench: Bench, tmp_path: Path
) -> None:
    facts = GeneratorFacts(LABELS + 1, 8, 5, 1, 0, 3)
    path = write_official(tmp_path, facts, "latest_net_G.pth")
    message = refusal(bench, OfficialFiles(path))  # 64x48 by 32
    assert "48" in message
    assert "--benchmark" in message


def test_names_of_the_library_are_taken(bench: Bench, theirs: OfficialFiles) -> None:
    with pytest.raises(UsageError, match="'ours'"):
        import_official(bench, "ours", theirs)


# -- round trips -----------------------------------------------------------------------------------


def test_official_files_come_back_byte_for_byte(
    bench: Bench, theirs: OfficialFiles, tmp_path: Path
) -> None:
    method = import_official(bench, "theirs", theirs)
    exported = export_official(reopened(bench), method, 0, tmp_path / "out")
    assert theirs.discriminator is not None
    for path in (theirs.generator, theirs.discriminator):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in exported.files) == ["latest_net_D.pth", "latest_net_G.pth"]
    [options] = exported.notes
    assert "--ngf 8 " in options
    assert "--n_downsample_global 2" in options


def test_a_trained_run_is_exported_with_the_discriminators_of_its_checkpoint(
    trained: Bench, tmp_path: Path
) -> None:
    method = trainable(trained)
    export_official(trained, method, 0, tmp_path / "out")
    files = OfficialFiles(*(tmp_path / "out" / f"latest_net_{part}.pth" for part in "GD"))
    again = import_official(reopened(trained), "again", files)
    ours = synthesize_method(trained, method, 0, CPU)
    assert images_of(trained, again) == [path.read_bytes() for path in ours]
    assert again.discriminator is not None
    assert method.discriminator is not None
    assert again.discriminator.scales == method.discriminator.scales


def test_a_folder_for_the_hub_comes_back_byte_for_byte(trained: Bench, tmp_path: Path) -> None:
    method, out = trainable(trained), tmp_path / "hub"
    export_hub(trained, method, 0, out)
    again = import_hub(reopened(trained), "again", str(out))
    here = generator_file(reopened(trained), again, 0)
    assert here.read_bytes() == generator_file(trained, method, 0).read_bytes()
    ours = synthesize_method(trained, method, 0, CPU)
    assert images_of(trained, again) == [path.read_bytes() for path in ours]
    once_more = tmp_path / "hub2"
    export_hub(reopened(trained), again, 0, once_more)
    for name in ("model.safetensors", "discriminator.safetensors"):
        assert (once_more / name).read_bytes() == (out / name).read_bytes()


def test_the_card_says_what_it_was_trained_on_and_what_to_fill_in(
    trained: Bench, tmp_path: Path
) -> None:
    export_hub(trained, trainable(trained), 0, tmp_path / "hub")
    text = (tmp_path / "hub" / "README.md").read_text()
    assert text.startswith("---\nlicense: ")
    assert "FILL IN" in text
    assert "hdbench train ours-no-vgg --benchmark tiny --seed 0" in text
    assert "hdbench.load_generator" in text
    assert "Not measured" in text
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    assert config["size"] == [64, 48]
    assert config["classes"]["8"] == "car"


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("config.json", lambda text: text.replace(b'"version": 1', b'"version": 2'), "version"),
        ("config.json", lambda text: text.replace(b'"car"', b'"cat"'), "'cat' there, 'car' here"),
        (
            "config.json",
            lambda text: text.replace(b'"enhancers": 0', b'"enhancers": 1'),
            "enhancers",
        ),
        ("config.json", lambda text: text[:-30], "not JSON"),
        ("model.safetensors", lambda content: content[:-1], "safetensors"),
        ("model.safetensors", lambda content: content[:-1] + b"!", "hashes to"),
    ],
)
def test_a_changed_folder_for_the_hub_is_refused(
    trained: Bench, tmp_path: Path, file: str, change, said: str
) -> None:
    export_hub(trained, trainable(trained), 0, tmp_path / "hub")
    path = tmp_path / "hub" / file
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(HdbenchError, match=said):
        import_hub(reopened(trained), "again", str(tmp_path / "hub"))
    assert not reopened(trained).workspace.imported_weights("again").exists()


def test_a_repository_that_is_not_here_is_not_fetched_unasked(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match="nobody/nothing"):
        import_hub(bench, "theirs", "nobody/nothing")
    with pytest.raises(UsageError, match="no-such-folder"):
        import_hub(bench, "theirs", "no-such-folder")


def test_what_has_no_generator_is_not_exported(bench: Bench, tmp_path: Path) -> None:
    floor = bench.library.method("floor-mean-colour")
    with pytest.raises(UsageError, match="floor-mean-colour"):
        export_official(bench, floor, 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_not_written_over(
    bench: Bench, theirs: OfficialFiles, tmp_path: Path
) -> None:
    method = import_official(bench, "theirs", theirs)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for export in (export_official, export_hub):
        with pytest.raises(UsageError, match="--out"):
            export(reopened(bench), method, 0, tmp_path / "out")


# -- the verbs -------------------------------------------------------------------------------------


def test_the_verbs_import_list_export_and_refuse(
    cli: Cli, theirs: OfficialFiles, tmp_path: Path
) -> None:
    done = cli("import-weights", theirs.generator, "--as", "theirs", "--title", "Theirs")
    assert done.exit_code == 0, done.output
    assert "theirs" in cli("list").output
    assert cli("check", tmp_path / "ws" / "methods" / "theirs.toml").exit_code == 0
    assert cli("synthesize", "--method", "theirs").exit_code == 0
    done = cli("export-weights", "theirs", "--out", tmp_path / "out", "--hub")
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "out" / "model.safetensors") in done.output
    again = cli("import-weights", "--from-hub", tmp_path / "out", "--as", "again", "--json")
    assert again.exit_code == 0, again.output
    read = read_weights(tmp_path / "ws" / "methods" / "again" / GENERATOR_WEIGHTS)
    assert len(read) == 16  # eight convolutions
    assert cli("import-weights", "--as", "x").exit_code == 2
    assert cli("train", "theirs").exit_code == 2
    both = cli("import-weights", theirs.generator, "--from-hub", "y", "--as", "x")
    assert both.exit_code == 2
