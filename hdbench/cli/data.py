"""``data``: check, preview and export datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, image_size
from hdbench.errors import DataError, UsageError, counted

if TYPE_CHECKING:
    from hdbench.schema.image_input import Edges
    from hdbench.workspace.bench import Bench


@click.group()
def data() -> None:
    """Datasets: check, preview, export the built-in one, make edge maps of photographs."""


@data.command()
@bench_options
def check(bench: Bench) -> None:
    """Decode every file and report all problems at once, with counts.

    \b
    Example:
      hdbench data check
    """
    from hdbench.data.inspection import check_split, leaked_photographs
    from hdbench.schema.benchmark import OWN

    spec = bench.benchmark.data
    training = [spec.train]
    for segmenter in (bench.benchmark.segmenter, bench.benchmark.second_segmenter):
        if segmenter is not None and segmenter.name == OWN:
            training.append(segmenter.training.split)
    training = list(dict.fromkeys(training))
    roots = {split: bench.dataset.root(split) for split in (*training, spec.test)}
    reports = [check_split(bench.benchmark, root, split) for split, root in roots.items()]
    for found in reports:
        click.echo(found.text())
    root = roots[spec.test]
    leaked = leaked_photographs(root, spec.layout, training, spec.test)
    for line in leaked:
        click.echo(f"between splits: {line}")
    count = sum(len(found.problems) for found in reports) + len(leaked)
    if count:
        raise DataError(f"{root}: {counted(count, 'problem')}, listed above")
    click.echo("no problems")


@data.command()
@bench_options
@click.option(
    "--split", metavar="NAME", help="Split, or 'train[:16]'; the training split if not given."
)
@click.option("--count", default=8, type=click.IntRange(min=1))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="PNG file; default: in the workspace.",
)
def preview(bench: Bench, split: str | None, count: int, output: Path | None) -> None:
    """Draw a contact sheet: photographs, inputs, labels and boundaries of scenes, evenly spread.

    \b
    Example:
      hdbench data preview --split val --count 12
    """
    from hdbench.data.inspection import preview_sheet
    from hdbench.data.sheets import write_sheet
    from hdbench.schema.split import Split

    split = split or bench.benchmark.data.train
    try:
        name = Split.parse(split).name
    except ValueError as error:
        raise UsageError(f"--split: {error}") from None
    path = output or bench.workspace.root / "previews" / f"{bench.benchmark.name}-{name}.png"
    write_sheet(preview_sheet(bench.benchmark, bench.dataset.with_inputs(split), count), path)
    click.echo(path)


@data.command()
@click.argument("name", type=click.Choice(["streets"]))
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="A new or empty folder, or one that an earlier export began.",
)
@click.option(
    "--size",
    default="512x256",
    metavar="WxH",
    callback=image_size,
    help="Pixels, twice as wide as high; 2048x1024 is Cityscapes' size (one second per scene).",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    default=("train", "val"),
    metavar="NAME",
    help="train, val or judge; may be repeated.",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="Only the first N scenes of each."
)
def export(
    name: str, output: Path, size: tuple[int, int], splits: tuple[str, ...], count: int | None
) -> None:
    """Write Streets, the built-in scenes, as files in Cityscapes' official layout.

    These are labels, 16-bit instances, colours and images, for hdbench or other programs; the same
    command resumes a stopped export.

    \b
    Examples:
      hdbench data export streets --output streets
      hdbench data export streets --output big --size 2048x1024 --split val --count 10
    """
    from hdbench.streets.files import require_drawable, write_streets

    width, height = size
    require_drawable(splits, count, width, height)
    counts = {split: write_streets(output, split, count, width, height) for split in splits}
    click.echo(output)
    for split, number in counts.items():
        click.echo(f"{split}: {counted(number, 'scene')}")


@data.command()
@click.argument(
    "photographs",
    required=False,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="[PHOTOGRAPHS]",
)
@bench_options
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.toml",
    help="The new benchmark's file.",
)
@click.option("--sigma", type=float, help="Width of the smoothing, in pixels; default: 2.")
@click.option("--low", type=float, help="Threshold at which edges end; default: 0.05.")
@click.option("--high", type=float, help="Threshold at which edges begin; default: 0.1.")
@click.option(
    "--size",
    metavar="WxH",
    callback=image_size,
    help="Of the images; default: the benchmark's, or like the photographs of the folder.",
)
@click.option(
    "--preview",
    "sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.png",
    help="Draw photographs beside their edges; without --output, nothing else is made.",
)
@click.option("--count", default=8, type=click.IntRange(min=1), help="Scenes of --preview.")
def edges(
    photographs: Path | None,
    bench: Bench,
    output: Path | None,
    sigma: float | None,
    low: float | None,
    high: float | None,
    size: tuple[int, int] | None,
    sheet: Path | None,
    count: int,
) -> None:
    """Make a benchmark of edges to photographs: edge maps by Canny's detector, and its file.

    PHOTOGRAPHS is a folder of JPEG or PNG files, or has train/ and test/ with them; without it, the
    photographs of the benchmark are used, whose labels still score the images. Photographs are
    read where they are, maps go into the workspace, and the same command resumes. Maps that are
    made with other settings are other inputs: runs on them start anew. 'camvid-edges' and 'edges'
    (--data-root PHOTOGRAPHS) are in the library, and need this verb only for other settings.

    \b
    Examples:
      hdbench data edges ~/cats --preview cats.png --sigma 1.5
      hdbench data edges ~/cats --output cats.toml --sigma 1.5
      hdbench data edges --benchmark camvid --data-root ~/data/camvid --output camvid-lines.toml
    """
    from dataclasses import replace

    from hdbench.data.edges import edge_sheet
    from hdbench.data.layouts import spread
    from hdbench.data.sheets import write_sheet
    from hdbench.schema.benchmark import Size
    from hdbench.workflows.edges import (
        EDGES_BENCHMARK,
        default_input,
        make_edge_maps,
        size_of_photographs,
        write_edge_benchmark,
    )
    from hdbench.workspace.bench import open_bench
    from hdbench.workspace.paths import find_config, write_config

    if output is not None and output.suffix != ".toml":
        raise UsageError(f"--output {output}: expected a name that ends in .toml")
    if photographs is not None:
        source = replace(
            bench.workspace, data_root=photographs.resolve(), benchmark=EDGES_BENCHMARK
        )
        bench = open_bench(source)
    given = {
        key: value
        for key, value in (("sigma", sigma), ("low", low), ("high", high))
        if value is not None
    }
    stated = bench.benchmark.input and bench.benchmark.input.edges
    if output is None and sheet is None and (stated is None or photographs is not None or given):
        raise UsageError("add --output FILE.toml, the new benchmark's file, or --preview FILE.png")
    known = stated or default_input(bench.library).edges
    assert known is not None
    settings = _settings(type(known), {**known.model_dump(), **given})
    scenes = bench.dataset.scenes(bench.benchmark.data.train)
    if sheet is not None:
        write_sheet(edge_sheet(spread(scenes, count), settings), sheet)
        click.echo(f"sheet: {sheet}")
        if output is None:
            return
    options = ""
    if output is not None:
        shape = bench.benchmark.size
        if size is not None:
            shape = Size(width=size[0], height=size[1])
        elif photographs is not None:
            shape = size_of_photographs(scenes)
        base = photographs.resolve().name if photographs else bench.benchmark.title
        title = f"{base}, from edges, {shape.width}x{shape.height}"
        name = bench.workspace.benchmark
        write_edge_benchmark(bench.library, name, output, settings, title, shape)
        click.echo(f"benchmark: {output}")
        path = output if output.parent != Path() else f"./{output}"
        options = f" --benchmark {path}"
        bench = open_bench(replace(bench.workspace, benchmark=str(path)))
    for split, (number, folder) in make_edge_maps(bench).items():
        click.echo(f"{split}: {counted(number, 'edge map')} in {folder}")
    root = bench.workspace.data_root
    if output is not None and photographs is not None and find_config(Path.cwd()) is None:
        config = write_config(Path.cwd(), str(output.resolve()), root, bench.workspace.root)
        click.echo(f"wrote {config}")
    elif root is not None:
        options += f" --data-root {root}"
    click.echo(f"Next: 'hdbench train ours{options}'", err=True)


def _settings(model: type[Edges], values: dict[str, float]) -> Edges:
    """Return the detector's settings; UsageError names the option that is wrong."""
    from pydantic import ValidationError

    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        option = "".join(f"--{part} {problem['input']:g}: " for part in problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        raise UsageError(f"{option}{text}") from None
