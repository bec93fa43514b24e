"""``segmenter``: train, check and import the network that scores images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from hdbench.cli.options import (
    bench_options,
    device_option,
    image_size,
    json_option,
    machine_options,
    path_option,
    print_json,
    restart_option,
    seed_option,
    segmenter_option,
    trust_option,
)
from hdbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from hdbench.runtime.devices import Machine
    from hdbench.workspace.bench import Bench

# A copy of ``hdbench.segmentation.adoption.KINDS``, so that help does not import PyTorch.
KINDS = ("smp", "pspnet-mmseg", "pspnet-semseg", "segformer", "torchscript", "predictions")


@click.group()
def segmenter() -> None:
    """The segmenter that scores images: train one, check one, import one."""


@segmenter.command()
@bench_options
@machine_options
@restart_option
@path_option(
    "--encoder-weights",
    "FILE",
    "torchvision's ImageNet weights, for benchmarks that start from them.",
)
@click.option(
    "--second",
    is_flag=True,
    help="Train the benchmark's second segmenter, of another family, instead.",
)
@click.option(
    "--on",
    "method",
    metavar="METHOD",
    help="Compare training on METHOD's images with training on photographs.",
)
@seed_option
@click.option("--json", "as_json", is_flag=True, help="With --on: print JSON.")
def train(
    bench: Bench,
    machine: Machine,
    restart: bool,
    encoder_weights: Path | None,
    second: bool,
    method: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Train the benchmark's segmenter; the same command resumes it.

    At the end it scores the photographs of the test split and writes the scores on its card. If the
    benchmark's segmenter ships with hdbench, this repeats its training, and the shipped one still
    scores.

    With --second it trains the segmenter of the table [second_segmenter]. A score that only the
    first segmenter gives shows in 'hdbench evaluate --segmenter own --segmenter second'.

    With --on METHOD it measures METHOD's images as training data: two segmenters of the same recipe
    and size learn from these images (of the training split, synthesized if missing) and from the
    photographs, and both are scored on the photographs of the test split. --seed is that of
    METHOD's run; the segmenters' is always 0.

    \b
    Examples:
      hdbench segmenter train
      hdbench segmenter train --second
      hdbench segmenter train --benchmark cityscapes --encoder-weights resnet101-63fe2227.pth
      hdbench segmenter train --on ours-no-vgg
    """
    if method is not None:
        if second:
            raise UsageError("--second and --on METHOD exclude each other; --on uses [segmenter]")
        _train_on(bench, machine, restart, encoder_weights, method, seed, as_json)
        return
    if as_json or seed:
        raise UsageError("--json and --seed belong to --on METHOD; the benchmark's seed is 0")
    from hdbench.schema.benchmark import OWN
    from hdbench.text import SCORE
    from hdbench.workflows.train_segmenter import train_own_segmenter
    from hdbench.workspace.segmenters import segmenter_name

    card = train_own_segmenter(bench, machine, restart, encoder_weights, second).card
    if not machine.ranks.first:
        return
    folder, name = bench.segmenter_folder(second), segmenter_name(bench, second)
    assert card.oracle is not None
    click.echo(f"trained: {folder}")
    click.echo(
        f"oracle under {card.oracle['scoring']}: "
        f"pixel accuracy {SCORE.text(card.oracle['pixel_accuracy'])}, "
        f"mean IoU {SCORE.text(card.oracle['mean_iou'])}"
    )
    if name != OWN:
        click.echo(
            f"'{bench.benchmark.name}' is still scored by '{name}', which ships with hdbench.\n"
            "To score by the one just trained: "
            f"'hdbench evaluate --segmenter {folder}'",
            err=True,
        )


def _train_on(
    bench: Bench,
    machine: Machine,
    restart: bool,
    encoder_weights: Path | None,
    name: str,
    seed: int,
    as_json: bool,
) -> None:
    from hdbench.runtime.ranks import require_alone
    from hdbench.text import ACCURACY, RATIO, SCORE
    from hdbench.workflows.train_segmenter import train_on

    require_alone("'hdbench segmenter train --on'")
    method = bench.library.method(name)
    trained = train_on(bench, method, seed, machine, restart, encoder_weights)
    if as_json:
        records = [
            {"learnt_from": one.method, "folder": str(one.folder), **one.result.scores.model_dump()}
            for one in trained
        ]
        print_json(records)
        return
    width = max(len("learnt from"), *(len(one.method) for one in trained))
    click.echo(f"{'learnt from':{width}}  pixel acc. %  mean IoU  of the photographs'")
    real = trained[0].result.scores.mean_iou
    for one in trained:
        scores = one.result.scores
        share = RATIO.text(scores.mean_iou / real if real and scores.mean_iou is not None else None)
        accuracy, mean_iou = ACCURACY.text(scores.pixel_accuracy), SCORE.text(scores.mean_iou)
        click.echo(f"{one.method:{width}}  {accuracy:>12}  {mean_iou:>8}  {share:>17}")
    learnt, scored = len(bench.dataset.train_scenes), len(bench.dataset.test_scenes)
    click.echo(
        f"the same recipe and seed on {learnt} scenes of '{bench.benchmark.data.train}', scored on "
        f"{scored} photographs of '{bench.benchmark.data.test}'; 'oracle' learnt from photographs"
    )


@segmenter.command()
@segmenter_option
@bench_options
@device_option
@trust_option
@click.option(
    "--declare",
    is_flag=True,
    help="Write the oracle's scores on a card without any; later checks compare with them.",
)
@json_option
def check(
    which: Path | Literal["second"] | None,
    bench: Bench,
    device: str,
    trust: bool,
    declare: bool,
    as_json: bool,
) -> None:
    """Score the benchmark's photographs with a segmenter and check that it can be trusted.

    Prints the oracle's scores per class beside those on the segmenter's card, and the scores of
    noise and of other scenes' photographs, which must be far lower. Exit status 1 if the oracle is
    more than one point below the card, or a control is too high.

    \b
    Examples:
      hdbench segmenter check
      hdbench segmenter check --segmenter second
      hdbench segmenter check --segmenter hdbench-runs/segmenters/imported/pspnet101 --declare
    """
    from hdbench.runtime.devices import choose_device
    from hdbench.workflows.check_segmenter import (
        as_record,
        inspect_segmenter,
        lines,
        require_sound,
    )
    from hdbench.workflows.train_segmenter import declare_oracle
    from hdbench.workspace.segmenters import open_segmenter, segmenter_folder

    opened = open_segmenter(bench, which, choose_device(device), trust)
    if declare and opened.card.oracle is not None:
        raise UsageError("--declare: the segmenter's card declares an oracle already")
    found = inspect_segmenter(bench, opened)
    if as_json:
        print_json(as_record(found))
    else:
        click.echo("\n".join(lines(found)))
    require_sound(found)
    if declare:
        folder = which if isinstance(which, Path) else segmenter_folder(bench, which is not None)
        declare_oracle(folder, opened, found.oracle)
    elif found.declared is None:
        click.echo(
            f"no oracle gate on '{bench.benchmark.name}' under {bench.scoring.name}: "
            + (found.no_gate or "")
            + ("; --declare writes these scores on it" if opened.card.oracle is None else ""),
            err=True,
        )


def _numbers(ctx: click.Context, option: click.Parameter, text: str | None) -> list[float] | None:
    """Return the three numbers of an option such as ``0.485,0.456,0.406``."""
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 3:
        raise click.BadParameter(f"'{text}'; expected three numbers, such as 0.485,0.456,0.406")
    return values


@segmenter.command("import")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("source")
@click.option("--name", help="Name of its folder; default: the name of the file or repository.")
@bench_options
@click.option(
    "--window",
    callback=image_size,
    metavar="WxH",
    help="Size of its input images; default: the benchmark's.",
)
@click.option("--mean", callback=_numbers, metavar="R,G,B", help="Subtracted from its input.")
@click.option("--std", callback=_numbers, metavar="R,G,B", help="Divides its input.")
@click.option("--order", type=click.Choice(["RGB", "BGR"]), help="Order of mean, std and input.")
@click.option(
    "--peak", type=float, help="The value of 255 before the mean is subtracted: 1 or 255."
)
@click.option(
    "--ids",
    type=click.Choice(["label", "train"]),
    help="Meaning of the numbers in predicted maps; only for predictions.",
)
@seed_option
@click.option("--download", is_flag=True, help="Fetch a hub id that the cache lacks.")
@trust_option
def import_segmenter(
    kind: str,
    source: str,
    name: str | None,
    bench: Bench,
    window: tuple[int, int] | None,
    ids: str | None,
    seed: int,
    download: bool,
    trust: bool,
    **stated: Any,
) -> None:
    """Import a segmenter, or its predictions, for --segmenter of other verbs.

    SOURCE is read once: its tensors are stored as safetensors, beside a card that describes their
    input and enters every fingerprint.

    \b
    KIND           SOURCE
    smp            folder or hub id of segmentation-models-pytorch; needs --mean and --std
    segformer      folder or hub id of transformers' SegFormer (extra 'hf')
    pspnet-mmseg   MMSegmentation's pspnet_r101-d8_512x1024_80k_cityscapes .pth
    pspnet-semseg  semseg's pspnet101 .pth for Cityscapes
    torchscript    a TorchScript file; needs --mean, --std and --trust
    predictions    folder with METHOD/SCENE.png, label maps predicted elsewhere; needs --ids

    \b
    Examples:
      hdbench segmenter import pspnet-mmseg pspnet_r101-d8.pth --window 1024x512
      hdbench segmenter import segformer owner/segformer-b1-cityscapes --download
      hdbench segmenter import predictions ./predicted --ids train
    """
    from hdbench.segmentation.adoption import ImportOptions, adopt
    from hdbench.workflows.scoring import images_as_given
    from hdbench.workspace.runs import image_files, seed_of

    if (kind == "predictions") != (ids is not None):
        raise UsageError(
            "--ids label or --ids train is required for 'predictions', and only for it"
        )
    size = bench.benchmark.size

    def images(name: str) -> Iterator[tuple[str, Tensor]]:
        method = bench.library.method(name)
        return images_as_given(bench, image_files(bench, method, seed_of(method, seed)))

    options = ImportOptions(
        bench.space,
        window or (size.width, size.height),
        trust=trust,
        download=download,
        images=images,
        label_ids=ids == "label",
        **stated,
    )
    own_name = name or re.sub(r"[^\w.-]", "-", Path(source).name.split(".")[0])
    folder = bench.workspace.root / "segmenters" / "imported" / own_name
    imported = adopt(kind, source, folder, options)
    click.echo(f"imported: {folder}")
    width, height = imported.card.window
    click.echo(f"weights {imported.card.weights[:16]}, for images of {width}x{height}")
    hint = " --trust" if kind == "torchscript" else ""
    click.echo(f"Next: 'hdbench segmenter check --segmenter {folder}{hint}'", err=True)
