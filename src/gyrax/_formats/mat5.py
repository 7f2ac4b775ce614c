"""What a MATLAB file of version 5 to 7.2 claims, checked before scipy makes arrays of that size."""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from .reading import bound, check_size

_MATRIX, _COMPRESSED = 14, 15
#: Classes whose entries are matrices of their own: cells, structures, objects.
_NESTED = (1, 2, 3)
_DEEPEST = 50


def check_claims(path: Path) -> None:
    """Compressed variables unpack to a bounded size, and no cell or structure claims more entries than it has bytes.

    Raises:
        ValueError, struct.error, zlib.error: they do not.
    """
    data = path.read_bytes()
    order = "<" if data[126:128] == b"IM" else ">"
    left = bound(path)
    for kind, body in _elements(memoryview(data)[128:], order):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            plain = unpacker.decompress(body, left + 1)
            check_size(path, bound(path) - left + len(plain), "its variables")
            left -= len(plain)
            for inner, content in _elements(memoryview(plain), order):
                _check(inner, content, order, 0)
        else:
            _check(kind, body, order, 0)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Types and contents of the elements that follow each other, to the last that has a whole tag."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:  # a small element, in its tag
            kind, size, begin, step = kind & 0xFFFF, kind >> 16, at + 4, 8
        else:
            begin, step = at + 8, 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        yield kind, data[begin : begin + size]
        at += step


def _check(kind: int, body: memoryview, order: str, depth: int) -> None:
    if kind != _MATRIX or not len(body):
        return
    if depth > _DEEPEST:
        raise ValueError(f"its cells and structures are nested deeper than {_DEEPEST}")
    parts = _elements(body, order)
    _, flags = next(parts, (0, memoryview(b"")))
    _, shape = next(parts, (0, memoryview(b"")))
    dims = [size for (size,) in struct.iter_unpack(f"{order}i", shape[: len(shape) // 4 * 4])]
    count = math.prod(dims)
    if min(dims, default=0) < 0 or (count > len(body) and struct.unpack_from(f"{order}I", flags)[0] & 0xFF in _NESTED):
        raise ValueError(f"a cell or structure claims the shape {tuple(dims)}, and has {len(body)} bytes")
    if struct.unpack_from(f"{order}I", flags)[0] & 0xFF in _NESTED:
        for inner, content in parts:
            _check(inner, content, order, depth + 1)
