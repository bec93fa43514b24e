from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from hdbench.data.sheets import write_sheet_page


class Page(HTMLParser):
    """The tags of a page, the attributes of its images and metas, and the text of its headings."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[str | None] = []
        self.metas: list[dict[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            assert dict(attrs).keys() == {"src", "alt"}
            self.images.append(dict(attrs)["src"])
        if tag == "meta":
            self.metas.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        if self.tags:
            self.texts.setdefault(self.tags[-1], []).append(data.strip())

    @property
    def refreshes(self) -> bool:
        return any(meta.get("http-equiv") == "refresh" for meta in self.metas)


def test_names_and_titles_run_nothing(tmp_path: Path) -> None:
    name = '"><script>alert(1)<|script>&amp;.png'
    (tmp_path / name).write_bytes(b"")
    title = "</title><script>alert('1')</script>"
    page = Page(write_sheet_page(tmp_path, title, finished=True))
    assert "script" not in page.tags
    assert page.images == [name]
    assert page.texts["h2"] == [name.removesuffix(".png")]
    assert page.texts["title"] == page.texts["h1"] == [title]


def test_it_loads_itself_anew_until_it_is_finished(tmp_path: Path) -> None:
    for step in (9, 100, 10):
        (tmp_path / f"step-{step:08}.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no sheet")
    during = Page(write_sheet_page(tmp_path, "ours on streets", finished=False))
    assert during.refreshes
    newest_first = ["step-00000100.png", "step-00000010.png", "step-00000009.png"]
    assert during.images == newest_first
    path = write_sheet_page(tmp_path, "ours on streets", finished=True)
    assert path == tmp_path / "index.html"
    after = Page(path)
    assert not after.refreshes
    assert after.images == newest_first


def test_before_the_first_sheet_it_shows_none(tmp_path: Path) -> None:
    page = Page(write_sheet_page(tmp_path / "samples", "ours", finished=False))
    assert page.images == []
    assert page.refreshes
