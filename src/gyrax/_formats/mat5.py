"""What a MATLAB file of version 5 to 7.2 claims, checked before scipy makes arrays of that size, or crashes on a type it does not know."""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from .reading import bound, check_size

_MATRIX, _COMPRESSED, _WHOLE, _LETTERS = 14, 15, 5, 1
_NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18}
#: Types of the elements that follow the name of a matrix, by its class: cells, structures, objects, functions, what is opaque.
_PARTS = {
    1: {_MATRIX},
    2: {_MATRIX, _WHOLE, _LETTERS},
    3: {_MATRIX, _WHOLE, _LETTERS},
    16: {_MATRIX},
    17: {_MATRIX, _LETTERS},
}
_SPARSE, _OPAQUE, _FLAGS, _DEEPEST = 5, 17, 6, 50


def check_claims(path: Path) -> None:
    """Compressed variables unpack to a bounded size, elements are of known types, and no matrix claims more entries than it has bytes.

    Raises:
        ValueError, struct.error, zlib.error: they do not.
    """
    data = path.read_bytes()
    order = "<" if data[126:128] == b"IM" else ">"
    left = bound(path)
    for kind, body in _elements(memoryview(data)[128:], order):
        if kind == _COMPRESSED:
            plain = zlib.decompressobj().decompress(body, left + 1)
            check_size(path, bound(path) - left + len(plain), "its variables")
            left -= len(plain)
            for inner, content in _elements(memoryview(plain), order):
                _check(inner, content, order, 0)
        else:
            _check(kind, body, order, 0)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Types and contents of the elements that follow each other."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:  # a small element, in its tag
            kind, size, begin, step = kind & 0xFFFF, kind >> 16, at + 4, 8
        else:
            begin, step = at + 8, 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if begin + size > len(data) or (begin == at + 4 and size > 4):
            raise ValueError(f"an element of {size} bytes is cut short")
        yield kind, data[begin : begin + size]
        at += step


def _check(kind: int, body: memoryview, order: str, depth: int) -> None:
    """One matrix: flags, shape and name, and parts of the types that belong to its class."""
    if kind != _MATRIX:
        raise ValueError(f"an element is of type {kind}, where a matrix is expected")
    if not len(body):
        return
    if depth > _DEEPEST:
        raise ValueError(f"its cells and structures are nested deeper than {_DEEPEST}")
    (kind, flags), *parts = _elements(body, order)
    if kind != _FLAGS or len(flags) != 8:
        raise ValueError("a matrix has no flags")
    of = struct.unpack_from(f"{order}I", flags)[0] & 0xFF
    if of != _OPAQUE:
        shape, name, *parts = parts
        dims = [size for (size,) in struct.iter_unpack(f"{order}i", shape[1])]
        if (shape[0], name[0]) != (_WHOLE, _LETTERS) or len(dims) < 2 or min(dims) < 0:
            raise ValueError(f"a matrix has the shape {tuple(dims)}")
        if of != _SPARSE and math.prod(dims) > len(body):
            raise ValueError(f"a matrix claims the shape {tuple(dims)}, and has {len(body)} bytes")
    for part, content in parts:
        if part not in _PARTS.get(of, _NUMBERS):
            raise ValueError(f"an element is of type {part}, which a matrix of class {of} does not have")
        if part == _MATRIX:
            _check(part, content, order, depth + 1)
