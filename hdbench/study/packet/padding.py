"""Image files of one size, so that a script that compares sizes learns nothing from them.

A painted label map takes 2 kB as PNG where a photograph takes 35: "choose the larger file" would
pass every attention check. Padding consists of empty blocks of the compressed stream (RFC 1951), so
that files hold pixels and nothing else, and every decoder reads them.
"""

from __future__ import annotations

import struct
import zlib

#: Room that any padding fits into: empty blocks have 5 or 6 bytes.
ROOM = 24
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: An empty stored block, and an empty block of fixed codes before one; both end with a whole byte.
_FIVE, _SIX = b"\x00\x00\x00\xff\xff", b"\x02\x00\x00\x00\xff\xff"
#: The same as ``_FIVE``, marked as the last block.
_LAST = b"\x01\x00\x00\xff\xff"
#: The end of a file that can be padded: last block, checksum of pixels, checksum of IDAT, IEND.
_TAIL = len(_LAST) + 4 + 4 + 12


def paddable(png: bytes) -> bytes:
    """Return a PNG of header and pixels with the same pixels, ready for ``padded``."""
    header, pixels = b"", b""
    place = len(_SIGNATURE)
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        content = png[place + 8 : place + 8 + length]
        header = content if kind == b"IHDR" else header
        pixels += content if kind == b"IDAT" else b""
        place += 12 + length
    raw = zlib.decompress(pixels)
    packer = zlib.compressobj()
    stream = packer.compress(raw) + packer.flush(zlib.Z_SYNC_FLUSH)
    return _png(_chunk(b"IHDR", header), stream, struct.pack(">I", zlib.adler32(raw)))


def padded(png: bytes, size: int) -> bytes:
    """Return an image of ``paddable`` as a file of ``size`` bytes, at least ``ROOM`` larger."""
    missing = size - len(png)
    assert missing >= ROOM, f"{len(png)} bytes do not fit into {size} with room for {ROOM}"
    sixes = missing % 5
    padding = _SIX * sixes + _FIVE * ((missing - 6 * sixes) // 5)
    begin = len(_SIGNATURE) + 25 + 8  # after the chunk IHDR and the head of IDAT
    checksum = png[-_TAIL + len(_LAST) :][:4]
    return _png(png[len(_SIGNATURE) : begin - 8], png[begin:-_TAIL] + padding, checksum)


def _png(header: bytes, stream: bytes, checksum: bytes) -> bytes:
    content = _chunk(b"IDAT", stream + _LAST + checksum)
    return _SIGNATURE + header + content + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I4s", len(content), kind)
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )
