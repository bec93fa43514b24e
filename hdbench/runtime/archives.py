"""Zip archives that others made: nothing in one is believed, and no more is read than fits.

No member is ever written to a path that the archive names; members are read into memory.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Self

from hdbench.errors import DataError, counted
from hdbench.text import inert

#: The end record of an archive without comment (APPNOTE.TXT 4.3.16), and the locator before it that
#: archives of more than 4 GiB or 65,535 members have (4.3.15).
_END, _END_BYTES = b"PK\x05\x06", 22
_LONG_END, _LONG_END_BYTES = b"PK\x06\x07", 20
#: Bytes of the directory for one member: the fixed part, and a generous name.
_DIRECTORY_ENTRY = 46 + 300
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]*(/[A-Za-z0-9][A-Za-z0-9._@+-]*)*")
_LONGEST_NAME = 200
#: Bits of a member's flags: encrypted, a patch, strongly encrypted, with a masked directory.
_REFUSED_FLAGS = 0x1 | 0x20 | 0x40 | 0x2000
#: Smaller members may be compressed by any factor.
_SMALL = 1 << 16
_CHUNK = 1 << 20
#: What the standard library raises for archives that are damaged or made to hurt.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    OSError,
    ValueError,
)


@dataclass(frozen=True)
class Limits:
    """What an archive may ask for."""

    members: int
    #: Bytes of one member, uncompressed.
    member: int
    #: Bytes of all members that are read.
    total: int
    #: By which factor a member may be compressed; None: any.
    ratio: int | None


class Archive:
    """A zip archive whose members are read into memory, within limits.

    What the archive declares is checked first and not relied on: reading stops at the limits too.
    """

    def __init__(self, file: BinaryIO, where: str, limits: Limits) -> None:
        """Read the directory; ``where`` names the archive in messages.

        Raises:
            DataError: it is no plain zip archive, or a member is not acceptable; all that are not
                are named.
        """
        self._where, self._limits, self._left = where, limits, limits.total
        try:
            self._require_plain_end(file)
            self._zip = zipfile.ZipFile(file)
        except DAMAGED as error:
            raise DataError(f"{where}: not a readable zip archive ({inert(str(error))})") from None
        infos = self._zip.infolist()
        problems = [f"{where}: {line}" for line in self._problems(infos)]
        if problems:
            raise DataError("\n".join(problems))
        self._members = {info.filename: info for info in infos}

    @classmethod
    def of_bytes(cls, content: bytes, where: str, limits: Limits) -> Self:
        """Return the archive that some bytes are."""
        return cls(io.BytesIO(content), where, limits)

    @property
    def names(self) -> list[str]:
        """The members' names, in the archive's order."""
        return list(self._members)

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return a member's content, of at most ``most`` bytes.

        Raises:
            DataError: there is no such member, it is damaged, or is longer.
        """
        info = self._members.get(name)
        if info is None:
            raise DataError(f"{self._where}: member '{inert(name)}' is missing")
        most = min(self._limits.member if most is None else most, self._left)
        chunks, size = [], 0
        try:
            with self._zip.open(info) as member:
                while chunk := member.read(min(_CHUNK, most + 1 - size)):
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > most:
                        raise DataError(
                            f"{self._where}: member '{name}' has more than {most:,} bytes"
                        )
        except DAMAGED as error:
            raise DataError(
                f"{self._where}: member '{name}' cannot be read ({inert(str(error))})"
            ) from None
        self._left -= size
        return b"".join(chunks)

    def _require_plain_end(self, file: BinaryIO) -> None:
        """Check where the directory is said to be, before anything reads it.

        Raises:
            ValueError: the file does not end as a plain archive does, or has too many members.
        """
        end = file.seek(0, io.SEEK_END)
        tail = _END_BYTES + _LONG_END_BYTES
        file.seek(max(0, end - tail))
        content = file.read(tail)
        record = content[-_END_BYTES:]
        if len(record) < _END_BYTES or not record.startswith(_END) or record[-2:] != b"\0\0":
            raise ValueError("it does not end with the directory of an archive without comment")
        if content[:-_END_BYTES].startswith(_LONG_END):
            raise ValueError("its directory is that of an archive of more than 4 GiB")
        _, _, _, count, size = struct.unpack("<HHHHI", record[4:16])
        most = self._limits.members
        if count > most or size > most * _DIRECTORY_ENTRY:
            raise ValueError(f"it has more than {counted(most, 'member')}")

    def _problems(self, infos: list[zipfile.ZipInfo]) -> Iterator[str]:
        if len(infos) > self._limits.members:
            yield f"{counted(len(infos), 'member')}; at most {self._limits.members:,} are read"
            return
        seen: dict[str, str] = {}
        for info in infos:
            name = inert(info.orig_filename)
            for problem in self._problems_of(info):
                yield f"member '{name}': {problem}"
            folded = info.filename.casefold()
            if folded in seen:
                yield f"member '{name}': a second one of this name ('{seen[folded]}')"
            seen[folded] = name
        total = sum(info.file_size for info in infos)
        if total > self._limits.total:
            yield f"{total:,} bytes uncompressed; at most {self._limits.total:,} are read"

    def _problems_of(self, info: zipfile.ZipInfo) -> Iterator[str]:
        # The standard library cuts a name at a NUL; ``orig_filename`` is what the archive says.
        if len(info.orig_filename) > _LONGEST_NAME or not _NAME.fullmatch(info.orig_filename):
            yield "not a plain relative name of letters, digits, '.', '_', '@', '+', '-' and '/'"
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            yield "a link, a folder or a device; expected a plain file"
        if info.flag_bits & _REFUSED_FLAGS:
            yield "encrypted"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            yield f"compression method {info.compress_type}; expected stored or deflated"
        if info.file_size > self._limits.member:
            yield f"{info.file_size:,} bytes; at most {self._limits.member:,} are read"
        ratio = self._limits.ratio
        if ratio and info.file_size > max(_SMALL, ratio * info.compress_size):
            yield f"compressed from {info.file_size:,} to {info.compress_size:,} bytes; a zip bomb?"


def archive_bytes(members: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of some members; the same members give the same bytes.

    Members are sorted by name, with one fixed time; what is compressed already is stored.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # as on Unix, wherever it is written
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            packed = name.endswith((".png", ".npz"))
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            archive.writestr(info, members[name], compresslevel=9)
    return buffer.getvalue()
