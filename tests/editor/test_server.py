"""The editor's server: what it shows is what synthesis makes, and nonsense leaves it up."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import constant_segmenter
from PIL import Image
from starlette.testclient import TestClient
from styled import METHOD, opened, train_styled

from hdbench.data.labels import shipped_space
from hdbench.editing import rendering
from hdbench.editor.app import editor_app
from hdbench.editor.desk import Desk
from hdbench.errors import UsageError
from hdbench.study.packet.gathering import gather
from hdbench.workflows import edit as workflow
from hdbench.workflows.edit import Studio, open_studio
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workspace.bench import Bench

CPU = torch.device("cpu")
CAR = 26


@pytest.fixture(scope="module")
def trained_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("editor")
    studio = open_studio(train_styled(root), METHOD, 0, CPU)  # the styles are made here
    assert studio.context.shapes is not None
    return root


@pytest.fixture
def bench(trained_root: Path, tmp_path: Path) -> Bench:
    shutil.copytree(trained_root / "ws", tmp_path / "ws")
    return opened(tmp_path)


@pytest.fixture
def studio(bench: Bench) -> Studio:
    return open_studio(bench, METHOD, 0, CPU)


class Page:
    """What a page asks, without a browser."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.desk = Desk(studio)
        first = self.desk.opened(lambda: studio.open_scene(next(iter(studio.scenes))))
        self.edited = studio.bench.workspace.root / "edited"
        app = editor_app(self.desk, first, self.edited, None)
        self.client = TestClient(app, base_url="http://127.0.0.1:1")
        self.at = f"/api/sessions/{first}"
        self.count = 0

    @property
    def state(self) -> dict[str, Any]:
        return self.client.get(self.at).json()

    def operate(self, edit: dict[str, Any] | None = None, kind: str = "edit", **more: Any):
        self.count += 1
        operation = {"id": f"o{self.count}", "revision": self.state["revision"], "kind": kind}
        if edit is not None:
            operation["edit"] = edit
        return self.client.post(f"{self.at}/operations", json=operation | more)

    def image(self, quality: str = "exact") -> bytes:
        query = {"revision": self.state["revision"], "quality": quality}
        answer = self.client.get(f"{self.at}/image.png", params=query)
        assert answer.status_code == 200, answer.text
        return answer.content


@pytest.fixture
def page(studio: Studio) -> Page:
    return Page(studio)


def random_edit(dice: random.Random, page: Page) -> dict[str, Any]:
    state, start = page.state, page.client.get("/api/start").json()
    width, height = state["size"]
    region = dice.choice(state["regions"])
    label = dice.choice([7, 8, 11, 21, 23, 24, 26])
    points = [[dice.uniform(0, width), dice.uniform(0, height)] for _ in range(3)]
    styles = next(one["styles"] for one in start["classes"] if one["id"] == region["label"])
    style = dice.choice([dice.randrange(styles), None, [dice.uniform(-1, 1) for _ in range(3)]])
    edits = [
        {"do": "paint", "tool": "brush", "points": points, "radius": 3.5, "label": label},
        {"do": "paint", "tool": "polygon", "points": points, "label": label},
        {"do": "paint", "tool": "fill", "points": points[:1], "label": label},
        {"do": "remove", "region": region["id"]},
        {"do": "relabel", "region": region["id"], "label": label},
        {"do": "move", "region": region["id"], "by": [dice.randint(-9, 9), dice.randint(-9, 9)]},
        {"do": "style", "region": region["id"], "style": style},
    ]
    if start["shapes"]:
        shape = dice.choice(start["shapes"])["name"]
        edits.append({"do": "stamp", "shape": shape, "at": points[0], "scale": 0.8})
    return dice.choice(edits)


@pytest.mark.slow
def test_after_100_random_edits_the_image_is_what_synthesize_makes_of_the_exported_scene(
    page: Page, bench: Bench, trained_root: Path
) -> None:
    dice, first = random.Random(3), page.image()
    done = 0
    while done < 100:
        answer = page.operate(random_edit(dice, page))
        assert answer.status_code in (200, 400), answer.text  # 400: it covers no pixel, and so on
        done += answer.status_code == 200
    shown = page.image()
    assert shown != first
    answer = page.client.post(f"{page.at}/export", json={"name": "hundred"}).json()
    folder = Path(answer["folder"])
    for name in ("images", "before"):
        assert (folder / name / "hundred.png").is_file()
    assert (folder / "images" / "hundred.png").read_bytes() == shown
    fresh = bench.with_edited(folder)
    [image] = synthesize_method(fresh, bench.library.method(METHOD), 0, CPU)
    assert image.read_bytes() == shown
    assert image.parent != bench.image_folder(METHOD, 0)

    again = Page(open_studio(bench, METHOD, 0, CPU))  # the server was killed and started again
    assert again.image() == shown
    assert again.state["edits"] == page.state["edits"]
    again.count = 1000
    assert again.operate(kind="undo-all").status_code == 200
    assert again.image() == first
    plain = synthesize_method(bench, bench.library.method(METHOD), 0, CPU)
    assert first in [path.read_bytes() for path in plain]


def test_scenes_of_two_sessions_are_one_folder_for_synthesis_and_studies(
    page: Page, bench: Bench
) -> None:
    for label, name in ((11, "one"), (21, "two")):
        edit = {"do": "paint", "tool": "brush", "points": [[9, 9]], "radius": 4, "label": label}
        assert page.operate(edit).status_code == 200
        assert page.client.post(f"{page.at}/export", json={"name": name}).status_code == 200
    fresh = bench.with_edited(page.edited)
    method = bench.library.method(METHOD)
    images = synthesize_method(fresh, method, 0, CPU)
    assert [path.stem for path in images] == ["one", "two"]
    assert [path.read_bytes() for path in images] == [
        (page.edited / "images" / path.name).read_bytes() for path in images
    ]
    nearest = bench.library.method("floor-nearest")
    assert len(synthesize_method(fresh, nearest, 0, CPU)) == 2
    few = {
        part: getattr(bench.library.study("pilot"), part).model_copy(update={"count": 1})
        for part in ("practice", "checks")
    }
    pilot = bench.library.study("pilot").model_copy(update=few)
    material = gather(fresh, pilot, [METHOD, "floor-nearest"], None, 0, False, None)
    assert [entry.name for entry in material.scenes] == ["one", "two"]
    with pytest.raises(UsageError, match="before the edits"):
        gather(fresh, pilot, [METHOD, "oracle"], None, 0, False, None)
    with pytest.raises(UsageError, match="before the edits"):
        synthesize_method(fresh, bench.library.method("oracle"), 0, CPU)
    styles = page.edited / "styles" / "one.json"
    content = json.loads(styles.read_text())
    styles.write_text(json.dumps(content | {"encoder": "0" * 64}))
    with pytest.raises(UsageError, match="another encoder"):
        synthesize_method(bench.with_edited(page.edited), method, 0, CPU)


@pytest.mark.slow
@pytest.mark.parametrize("slow", [False, True])
def test_a_restyled_region_changes_and_its_preview_is_of_the_same_scene(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """Where previews are slow, they are made at half the size."""
    monkeypatch.setattr(rendering, "_PREVIEW_SECONDS", 0.0 if slow else 1e9)
    page = Page(open_studio(bench, METHOD, 0, CPU, (64, 128)))
    region = max(page.state["regions"], key=lambda one: one["pixels"])
    before = page.image()
    edit = {"do": "style", "region": region["id"], "style": [0.9, -0.9, 0.9]}
    answer = page.client.post(f"{page.at}/try", json={"revision": 0, "edit": edit})
    assert answer.headers["content-type"] == "image/png"
    assert page.image() == before
    state = page.operate(edit).json()
    assert next(one for one in state["regions"] if one["id"] == region["id"])["encoded"]
    assert page.image() != before
    exact, quick = (
        np.asarray(Image.open(io.BytesIO(page.image(quality)))).astype(int)
        for quality in ("exact", "preview")
    )
    assert quick.shape == ((32, 64, 3) if slow else (64, 128, 3))
    if not slow:
        assert np.abs(exact - quick).mean() < 4
    crop = page.client.get(f"{page.at}/styles/{region['id']}/0.png", params={"revision": 1})
    assert Image.open(io.BytesIO(crop.content)).size[0] > 4
    back = page.operate({"do": "style", "region": region["id"], "style": None})
    assert back.status_code == 200
    assert page.image() == before


def picture(size: tuple[int, int] = (40, 30), form: str = "PNG", **more: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=form, **more)
    return buffer.getvalue()


def test_a_photograph_becomes_a_scene_with_its_own_styles(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    width, height = page.state["size"]
    seen = constant_segmenter(13, shipped_space("cityscapes"), width, height)  # 13: car
    monkeypatch.setattr(workflow, "open_segmenter", lambda *_: seen)
    state = page.client.post("/api/photograph", content=picture((90, 80), "JPEG")).json()
    [region] = state["regions"]
    assert (region["id"], region["label"], region["encoded"]) == (CAR * 1000, CAR, True)
    assert state["photograph"]
    again = page.client.post("/api/photograph", content=picture((90, 80), "JPEG")).json()
    assert again == state
    page.at = f"/api/sessions/{state['session']}"
    shown = page.image()
    edit = {"do": "paint", "tool": "brush", "points": [[9, 9]], "radius": 4, "label": 7}
    assert page.operate(edit).status_code == 200
    content = page.client.get(f"{page.at}/file").content
    page.client.post(f"{page.at}/export", json={"name": "photo"})
    fresh = page.studio.bench.with_edited(page.edited)
    [image] = synthesize_method(fresh, page.studio.method, 0, CPU)
    assert image.read_bytes() == page.image()
    loaded = page.client.post("/api/session-file", content=content).json()
    assert loaded["edits"] == ["brush road"]
    page.at, page.count = f"/api/sessions/{loaded['session']}", 500
    assert page.operate(kind="undo-all").status_code == 200
    assert page.image() == shown


def bad_requests(page: Page) -> Iterator[tuple[int, Any]]:
    """Each is refused with the status: method, address and what is sent."""
    client, at = page.client, page.at
    paint = {"do": "paint", "tool": "brush", "points": [[1, 1]], "radius": 2, "label": 7}
    yield 400, page.operate(paint | {"label": 200})
    yield 400, page.operate(paint | {"points": [[-900, -900]]})
    yield 400, page.operate({"do": "remove", "region": 999})
    yield 400, page.operate({"do": "stamp", "shape": "../../etc/passwd:1", "at": [1, 1]})
    yield 400, page.operate(kind="redo")
    yield 409, page.operate(paint, revision=7)
    yield 422, page.operate(paint, kind="undo")
    yield 422, page.operate(paint, id="../x")
    yield 422, page.operate(paint | {"points": [[1, 1]] * 5000})
    yield 422, page.operate(paint | {"radius": 1e300})
    yield 422, page.operate(paint, revision="0")
    for body in (b"", b"{", b"[" * 5000, b"\xff", b'{"id": NaN}', b"null", b'{"a":1,"a":2}'):
        yield 4, client.post(f"{at}/operations", content=body)
    yield 413, client.post(f"{at}/operations", content=b" " * 500_000)
    yield 413, client.post("/api/photograph", content=(b" " * 10**6 for _ in range(25)))
    huge = {"content-length": str(10**9)}
    yield 413, client.post("/api/photograph", content=b"x", headers=huge)
    bomb = io.BytesIO()
    Image.new("1", (5_000, 4_000)).save(bomb, format="PNG")
    for content in (b"", b"GIF89a", picture()[:-30], picture(form="BMP"), bomb.getvalue()):
        yield 422, client.post("/api/photograph", content=content)
        yield 415, client.post(f"{at}/encode", content=content)
        yield 422, client.post("/api/session-file", content=content)
    yield 422, client.post("/api/open", json={"scene": "../../x"})
    yield 422, client.post("/api/open", json={"scene": "x", "more": 1})
    yield 422, client.post(f"{at}/export", json={"name": "../x"})
    yield 422, client.post(f"{at}/export", json={"name": "a/b"})
    for path in ("/api/sessions/..%2F..%2Fsecret", "/api/sessions/none", "/..%2fapp.py", "/app.py"):
        yield 404, client.get(path)
    yield 404, client.get("/api/shapes/99999.png")
    yield 409, client.get(f"{at}/image.png", params={"revision": 5})
    yield 422, client.get(f"{at}/image.png", params={"revision": "x"})
    yield 400, client.get(f"{at}/styles/31/0.png", params={"revision": 0})
    region = page.state["regions"][0]["id"]
    yield 400, client.get(f"{at}/styles/{region}/99.png", params={"revision": 0})
    yield 405, client.put(at, content=b"x")


def test_nonsense_is_refused_and_nothing_changes(page: Page) -> None:
    before, shown = page.state, page.image()
    for status, answer in bad_requests(page):
        assert str(answer.status_code).startswith(str(status)), (status, answer.url, answer.text)
        assert answer.status_code < 500
        if status in (400, 409, 413, 415, 422):
            assert answer.json()["error"]
    assert page.state == before
    assert page.image() == shown


def test_two_tabs_see_the_same_session_and_stale_images_are_not_made(page: Page) -> None:
    paint = {"do": "paint", "tool": "brush", "points": [[1, 1]], "radius": 2, "label": 7}
    body = {"id": "tab-1", "revision": 0, "kind": "edit", "edit": paint}
    assert page.client.post(f"{page.at}/operations", json=body).json()["revision"] == 1
    assert page.client.post(f"{page.at}/operations", json=body).json()["revision"] == 1
    other = body | {"id": "tab-2"}
    assert page.client.post(f"{page.at}/operations", json=other).status_code == 409
    assert page.client.post(f"{page.at}/operations", json=other | {"revision": 1}).is_success
    assert page.client.get(f"{page.at}/revision").json() == {"revision": 2}
    late = {"revision": 1, "quality": "exact"}
    assert page.client.get(f"{page.at}/image.png", params=late).status_code == 409


def test_another_size_is_another_session_and_unfit_sizes_are_refused(bench: Bench) -> None:
    wide = Page(open_studio(bench, METHOD, 0, CPU, (64, 128)))
    assert wide.state["size"] == [128, 64]
    assert Image.open(io.BytesIO(wide.image())).size == (128, 64)
    assert wide.desk.studio.session_path("a").name == "a.128x64.session.jsonl"
    with pytest.raises(UsageError, match="100x64"):
        open_studio(bench, METHOD, 0, CPU, (64, 100))
    wide.client.post(f"{wide.at}/export", json={"name": "wide"})
    with pytest.raises(UsageError, match="128x64"):
        synthesize_method(bench.with_edited(wide.edited), bench.library.method(METHOD), 0, CPU)


def test_a_session_of_another_encoder_is_not_opened(page: Page) -> None:
    [path] = page.studio.folder.glob("*.session.jsonl")
    text = path.read_text()
    assert page.studio.encoder is not None
    path.write_text(text.replace(page.studio.encoder, "0" * 64))
    with pytest.raises(UsageError, match="another encoder"):
        Page(page.studio)
