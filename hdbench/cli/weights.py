"""``import-weights`` and ``export-weights``: generators that others trained, and for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import (
    bench_options,
    json_option,
    path_option,
    print_json,
    restart_option,
    seed_option,
)
from hdbench.errors import UsageError

if TYPE_CHECKING:
    from hdbench.workspace.bench import Bench


@click.command(name="import-weights")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--as", "name", required=True, metavar="NAME", help="What the method is called.")
@path_option("--discriminator", "FILE", "Its discriminators too, to train on from them.")
@path_option("--encoder", "FILE", "Its feature encoder too, if it reads styles.")
@click.option(
    "--from-hub",
    metavar="DIR",
    help="Instead of FILE: a folder that 'export-weights --hub' wrote, or a hub id (owner/name).",
)
@click.option("--download", is_flag=True, help="Fetch a hub id that this machine's cache lacks.")
@click.option("--title", metavar="TEXT", help="The method's name in tables; default: NAME.")
@bench_options
@restart_option
@json_option
def import_weights(
    file: Path | None,
    name: str,
    discriminator: Path | None,
    encoder: Path | None,
    from_hub: str | None,
    download: bool,
    title: str | None,
    bench: Bench,
    restart: bool,
    as_json: bool,
) -> None:
    """Import a generator that was trained elsewhere as method NAME.

    FILE is a state dict of the official pix2pixHD, such as latest_net_G.pth. Its architecture is
    read from it, and every name and shape is checked; it is read without running code. The number
    of its input channels must fit the benchmark's labels: 35 for Cityscapes, 36 with the boundary
    map. The networks keep their channels, whatever the benchmark's budget says.

    \b
    Examples:
      hdbench import-weights latest_net_G.pth --as ours-official --benchmark cityscapes
      hdbench import-weights G.pth --discriminator D.pth --encoder E.pth --as ours-official
      hdbench import-weights --from-hub ./exported --as theirs
      hdbench import-weights --from-hub somebody/streets-generator --download --as theirs
      hdbench evaluate --method ours-official
    """
    from hdbench.workflows.import_weights import (
        OfficialFiles,
        import_hub,
        import_official,
        imported_words,
    )

    if (file is None) == (from_hub is None):
        raise UsageError("expected a FILE in the official layout, or --from-hub, and not both")
    if file is not None:
        files = OfficialFiles(file, discriminator, encoder)
        method = import_official(bench, name, files, title=title, restart=restart)
    else:
        if discriminator is not None or encoder is not None:
            raise UsageError(
                "--discriminator and --encoder belong to a FILE; a folder for the hub has its own"
            )
        assert from_hub is not None
        method = import_hub(bench, name, from_hub, title=title, download=download, restart=restart)
    if as_json:
        print_json(method.model_dump(exclude_none=True))
    else:
        where = bench.workspace.imported_weights(name)
        click.echo("\n".join([f"{name}: in {where}", *imported_words(method)]))
    click.echo(f"Next: 'hdbench evaluate --method {name}'", err=True)


@click.command(name="export-weights")
@click.argument("method")
@path_option("--out", "DIR", "A new folder for the files.", required=True)
@click.option(
    "--hub",
    is_flag=True,
    help="Write a folder for the model hub: safetensors, configuration, card.",
)
@bench_options
@seed_option
def export_weights(method: str, out: Path, hub: bool, bench: Bench, seed: int) -> None:
    """Write the networks of METHOD for others: in the official layout, or for the model hub.

    The official layout is latest_net_G.pth, with latest_net_D.pth and latest_net_E.pth where there
    are discriminators and an encoder; discriminators are in the run's checkpoints. With --hub, DIR
    gets model.safetensors, config.json and README.md, which 'hdbench import-weights --from-hub'
    and 'hdbench.load_generator' read.

    \b
    Examples:
      hdbench export-weights ours --out exported
      hdbench export-weights ours --out for-the-hub --hub
    """
    from hdbench.workflows.export_weights import export_hub, export_official

    write = export_hub if hub else export_official
    exported = write(bench, bench.library.method(method), seed, out)
    for path in exported.files:
        click.echo(path)
    for note in exported.notes:
        click.echo(note, err=True)
