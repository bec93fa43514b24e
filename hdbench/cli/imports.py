"""``import-images``: images of any method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, json_option, print_json, restart_option

if TYPE_CHECKING:
    from hdbench.workspace.bench import Bench


@click.command(name="import-images")
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@bench_options
@click.option(
    "--template",
    metavar="TEXT",
    help="File names with {name} in place of the scene's name: '{name}_fake.png'.",
)
@click.option("--title", metavar="TEXT", help="The method's name in tables; default: NAME.")
@click.option(
    "--allow-subset",
    is_flag=True,
    help="Accept scenes without an image; scores of the others get a fingerprint of their own.",
)
@restart_option
@json_option
def import_images(
    name: str,
    path: Path,
    bench: Bench,
    template: str | None,
    title: str | None,
    allow_subset: bool,
    restart: bool,
    as_json: bool,
) -> None:
    """Import the images in folder PATH as method NAME, one for each test scene.

    A file belongs to the scene whose name it has, in any subfolder: the name itself, the name with
    '_synthesized_image' after it (the official test scripts), or a name that contains Cityscapes'
    city_sequence_frame. Every file is decoded and checked for size, mode, depth, range and format;
    if there are problems, all are listed and nothing is imported. Images are 8-bit RGB of exactly
    the benchmark's size, as PNG, TIFF, BMP or NumPy array; JPEG is accepted and flagged in every
    result.

    \b
    Examples:
      hdbench import-images spade results/coco/test_latest/images
      hdbench import-images mine outputs --template '{name}_fake.png' --title 'Mine, 200 epochs'
      hdbench evaluate --method spade
    """
    from hdbench.workflows.import_images import import_images as bring_in

    record = bring_in(
        bench,
        name,
        path,
        template=template,
        title=title,
        allow_subset=allow_subset,
        restart=restart,
    )
    for warning in record.warnings:
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        facts = {"method": name, "benchmark": bench.benchmark.name, **record.facts.model_dump()}
        print_json(facts)
    else:
        formats = ", ".join(f"{count} {form}" for form, count in record.facts.formats.items())
        click.echo(
            f"{name}: {len(record.images)} of {record.scenes_of_split} scenes ({formats}) in "
            f"{bench.image_folder(name, 0)}"
        )
    click.echo(f"Next: 'hdbench evaluate --method {name}'", err=True)
