"""Zip archives that are made to hurt: each is refused by name, and nothing large is read."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable

import pytest

from hdbench.errors import DataError
from hdbench.runtime.archives import Archive, Limits, archive_bytes

LIMITS = Limits(members=4, member=1 << 20, total=1 << 21, ratio=100)


def zipped(*members: tuple[zipfile.ZipInfo | str, bytes], deflate: bool = False) -> bytes:
    buffer = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", kind) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice
        for info, content in members:
            archive.writestr(info, content, compress_type=kind)
    return buffer.getvalue()


def named(name: str) -> zipfile.ZipInfo:
    """A member whose name is written as it is: the constructor would change it."""
    info = zipfile.ZipInfo("plain")
    info.filename = name
    return info


def opened(content: bytes, limits: Limits = LIMITS) -> Archive:
    return Archive.of_bytes(content, "lab.zip", limits)


def refusal(content: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(DataError) as error:
        opened(content, limits)
    assert str(error.value).startswith("lab.zip: ")
    assert all(c.isprintable() or c == "\n" for c in str(error.value))
    return str(error.value)


def test_what_is_written_is_read_and_the_same_members_give_the_same_bytes() -> None:
    members = {"b/c.json": b"{}" * 1000, "a.png": b"\x89PNG"}
    content = archive_bytes(members)
    assert content == archive_bytes(dict(reversed(members.items())))
    archive = opened(content)
    assert archive.names == ["a.png", "b/c.json"]
    assert {name: archive.read(name) for name in archive.names} == members


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "a/../../up",
        "/etc/passwd",
        "a\\b",
        "C:x",
        "//host/share",
        "a//b",
        "a/",
        ".hidden",
        "a/.ssh",
        "nul\0.png",
        "colour\x1b[31m",
        "line\nfeed",
        "right\u202eleft",
        "über",
        "a" * 300,
        "",
    ],
)
def test_names_that_are_not_plain_are_refused(name: str) -> None:
    assert "not a plain relative name" in refusal(zipped((named(name), b"x")))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFIFO])
def test_only_plain_files_are_members(kind: int) -> None:
    info = zipfile.ZipInfo("a")
    info.external_attr = (kind | 0o777) << 16
    assert "member 'a'" in refusal(zipped((info, b"/etc/passwd")))


@pytest.mark.parametrize("other", ["a/b", "A/b", "a/B"])
def test_names_are_single_whatever_their_case(other: str) -> None:
    assert f"member '{other}'" in refusal(zipped(("a/b", b"1"), (other, b"2")))


@pytest.mark.parametrize("bit", [0x1, 0x40, 0x2000])
def test_encrypted_members_are_refused(bit: int) -> None:
    content = bytearray(zipped(("a", b"secret")))
    entry = content.index(b"PK\x01\x02")
    content[entry + 8 : entry + 10] = struct.pack("<H", bit)
    assert "member 'a': encrypted" in refusal(bytes(content))


def test_other_compressions_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"x" * 100)
    assert "member 'a': compression method 14" in refusal(buffer.getvalue())


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (LIMITS, "a zip bomb?"),
        (Limits(members=4, member=1000, total=1 << 30, ratio=None), "at most 1,000 are read"),
        (Limits(members=4, member=1 << 30, total=1000, ratio=None), "at most 1,000 are read"),
    ],
)
def test_bombs_that_say_so_are_refused_unread(limits: Limits, said: str) -> None:
    assert said in refusal(zipped(("a", bytes(1 << 20)), deflate=True), limits)


def test_a_bomb_that_lies_about_its_size_is_cut_off() -> None:
    content = bytearray(zipped(("a", bytes(1 << 20)), deflate=True))
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 100)  # the size in the directory
    archive = opened(bytes(content))
    with pytest.raises(DataError, match="member 'a'"):
        archive.read("a")


def test_members_are_read_up_to_a_limit_together() -> None:
    archive = opened(
        zipped(("a", b"x" * 600), ("b", b"y" * 600)),
        Limits(members=4, member=1000, total=1200, ratio=None),
    )
    with pytest.raises(DataError, match="member 'a'"):
        archive.read("a", most=599)
    assert len(archive.read("a")) == 600
    assert len(archive.read("b")) == 600
    with pytest.raises(DataError, match="member 'a'"):
        archive.read("a")  # the total is used up


def test_too_many_members_are_refused() -> None:
    content = zipped(*((f"m{n}", b"") for n in range(5)))
    assert "more than 4 members" in refusal(content)
    lying = bytearray(content)
    lying[-14:-10] = struct.pack("<HH", 1, 1)  # the number of members in the end record
    assert "5 members" in refusal(bytes(lying))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"PK",
        lambda content: content[:-1],
        lambda content: content + b"trailer",
        lambda content: content[:-2] + b"\x05\x00extra",  # a comment
        lambda content: content[:-22] + b"PK\x06\x07" + bytes(16) + content[-22:],
        lambda content: b"<html>not a zip</html>",
    ],
)
def test_what_does_not_end_as_an_archive_is_none(damage: Callable[[bytes], bytes]) -> None:
    refusal(damage(zipped(("a", b"x"))))


def test_a_damaged_member_is_named() -> None:
    content = zipped(("a", b"content"))
    archive = opened(content.replace(b"content", b"CONTENT"))
    with pytest.raises(DataError, match="member 'a'"):
        archive.read("a")
    with pytest.raises(DataError, match="member 'b' is missing"):
        archive.read("b")
