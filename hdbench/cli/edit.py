"""``edit``: change labels, instances and styles of a scene, and see its image change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, device_option, image_size, path_option, seed_option
from hdbench.errors import UsageError, counted

if TYPE_CHECKING:
    from hdbench.workspace.bench import Bench


@click.command()
@click.argument("method", required=False)
@bench_options
@seed_option
@device_option
@click.option("--scene", metavar="NAME", help="The test scene shown at first; default: the first.")
@path_option("--photograph", "FILE", "Edit a photograph: the segmenter makes its labels.")
@path_option("--session", "FILE", "Go on with a session that was downloaded from the page.")
@click.option(
    "--size",
    metavar="WxH",
    callback=image_size,
    help="Edit scenes at another size than the benchmark's.",
)
@path_option("--out", "DIR", "Folder of exported scenes; default: edited/ in the workspace.")
@path_option("--script", "FILE", "Carry out the edits of a JSON file without a browser.")
@click.option("--host", default="127.0.0.1", help="Address to listen on; others need the token.")
@click.option("--port", default=8480, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
def edit(
    method: str | None,
    bench: Bench,
    seed: int,
    device: str,
    scene: str | None,
    photograph: Path | None,
    session: Path | None,
    size: tuple[int, int] | None,
    out: Path | None,
    script: Path | None,
    host: str,
    port: int,
    browser: bool,
) -> None:
    """Edit scenes in a browser: paint classes, move, remove and stamp instances, change styles.

    METHOD is a trained method; default: ours-styles, or else ours. Where the workspace has not
    trained it, the generator that ships is used. The page shows a preview while a stroke is drawn,
    and then the exact image: the one that 'synthesize' makes. Every edit is in a file of edits/ in
    the workspace before it is shown; the same command goes on with the last one.

    'Export' writes labels, instances, styles and images into a folder that 'hdbench synthesize
    --edited' and 'hdbench study build --edited' take. --script does the same without a browser;
    'hdbench report editing' then draws each scene before and after.

    \b
    Examples:
      hdbench edit
      hdbench edit ours --scene streets_000002_000004
      hdbench edit --photograph street.jpg
      hdbench edit --script edits.json --out edited
      hdbench edit --host 0.0.0.0 --port 8480      # prints a link with its token
    """
    from hdbench.runtime.devices import choose_device
    from hdbench.storage import read_bytes
    from hdbench.workflows.edit import default_method, open_studio, read_script, run_script

    first = [name for name, given in (("--scene", scene), ("--photograph", photograph)) if given]
    first += ["--session"] if session else []
    if len(first) > 1 or (first and script):
        raise UsageError(f"{' and '.join(first)}: expected one of them, and none with --script")
    steps = None if script is None else read_script(script)
    if script is None:
        from hdbench.web.serving import require_web

        require_web()
    shape = None if size is None else (size[1], size[0])
    chosen_device = choose_device(device)
    if method is None:
        method = default_method(bench, seed)
        click.echo(f"method: {method}", err=True)
    studio = open_studio(bench, method, seed, chosen_device, shape)
    folder = out or bench.workspace.root / "edited"
    if steps is not None:
        images = run_script(studio, steps, folder, lambda line: click.echo(line))
        click.echo(f"{counted(len(images), 'scene')} in {folder}")
        return

    from hdbench.editor.app import editor_app
    from hdbench.editor.desk import Desk
    from hdbench.web.guard import new_token
    from hdbench.web.serving import listen, serve

    desk = Desk(studio)
    if photograph is not None:
        content, name = read_bytes(photograph), str(photograph)
        shown = desk.opened(lambda: studio.open_photograph(content, name))
    elif session is not None:
        kept, where = read_bytes(session), str(session)
        shown = desk.opened(lambda: studio.open_file(kept, where))
    else:
        chosen = scene or next(iter(studio.scenes))
        shown = desk.opened(lambda: studio.open_scene(chosen))
    address = listen(host, port, new_token)
    serve(editor_app(desk, shown, folder, address.token), address, "editor", browser)
