"""What every reader asks for: regular files inside what was named, sizes within bounds, and one sentence for what is broken."""

import bz2
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from .fields import closest

#: What a file may unpack to, or claim to hold, whatever its size, in bytes. Text takes several times its size while it is parsed.
TEXT, ARRAYS = 2**25, 2**28
#: Beyond those, so many times the size of the file.
TIMES = 10
#: What libraries were seen to raise for what is in a broken file. Not their own kind of error: ImportError, KeyboardInterrupt, warnings.
DAMAGED = (
    ValueError,
    TypeError,
    LookupError,  # KeyError and IndexError
    ArithmeticError,
    AttributeError,
    AssertionError,
    NameError,  # UnboundLocalError
    SyntaxError,
    RuntimeError,  # RecursionError and NotImplementedError
    EOFError,
    MemoryError,
    BufferError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
    ExpatError,
)
#: That, and what the system says of the file, which libraries also raise for what is in it.
BROKEN = (OSError, *DAMAGED)


def is_of_the_file(error: BaseException) -> bool:
    """Whether an error is of what is in a file, and not of the system's, which names the file itself."""
    return not isinstance(error, OSError) or error.filename is None


_allowed: ContextVar[float] = ContextVar("allowed", default=0.0)


@contextmanager
def allowing(gigabytes: float) -> Iterator[None]:
    """Within it, readers take files that unpack to so many gigabytes.

    Without it, what a file unpacks to or claims to hold is at most ten times its size, or 33 MB of text and 268 MB of arrays, so that
    a small broken or hostile file cannot take all the memory.

    Raises:
        ValueError: `gigabytes` is not positive.

    Example:
        >>> import gyrax as gx
        >>> with gx.io.allowing(gigabytes=16):
        ...     pass  # gx.Connectome.load("voxels.mat")
    """
    if not 0 < gigabytes < math.inf:
        raise ValueError(f"gigabytes is a positive number, got {gigabytes}")
    token = _allowed.set(gigabytes * 1e9)
    try:
        yield
    finally:
        _allowed.reset(token)


def bound(path: Path, text: bool = False) -> int:
    """How many bytes a file may unpack to."""
    return int(max(TEXT if text else ARRAYS, TIMES * size_of(path), _allowed.get()))


def check_size(path: Path, size: int, what: str, text: bool = False) -> None:
    """Before anything is allocated: a header can claim any number."""
    if size > bound(path, text):
        raise ValueError(
            f"{path}: {what} would take {size / 1e9:.3g} GB, and the file has {size_of(path) / 1e9:.2g} GB: if it is right, "
            f"read it within gyrax.io.allowing(gigabytes={math.ceil(size / 1e9 + 0.1)})"
        )


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    if path.is_dir():
        return sum(file.lstat().st_size for file in path.rglob("*"))
    return path.stat().st_size


def existing(path: str | os.PathLike[str]) -> Path:
    """The path, if a file or a folder is there: no pipe and no device, which may never end."""
    path = Path(path)
    if path.is_file() or path.is_dir():
        return path
    if path.exists():
        raise ValueError(f"{path} is no regular file, but a pipe or a device: write it to a file first")
    near = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    raise FileNotFoundError(f"there is no {path}" + (f": {closest(path.name, sorted(near))}" if near else ""))


def inside(file: Path, root: Path) -> Path:
    """The file, if it is a regular one that no link or `..` takes out of the folder that was named."""
    if not file.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{file} leads out of {root}, to {file.resolve()}: copy what is meant into the folder")
    return existing(file)


@contextmanager
def reading(path: Path, kind: str, *others: type[Exception]) -> Iterator[None]:
    """Around what a library does with a file: what it raises becomes one sentence with the name of the file.

    Args:
        path: the file.
        kind: what it is read as.
        others: what this library raises besides `BROKEN`.
    """
    try:
        yield
    except (*BROKEN, *others) as error:
        if isinstance(error, ValueError | OSError) and (
            str(path) in str(error) or isinstance(error, FileNotFoundError)
        ):
            raise
        said = "it needs more memory than there is" if isinstance(error, MemoryError) else _said(error)
        raise ValueError(f"{path}: cannot be read as {kind}: {said}") from None


def _said(error: BaseException) -> str:
    words = " ".join(str(error).split())[:300] or type(error).__name__
    return f"there is no {words}" if isinstance(error, KeyError) else words


def unpack(packed: Any, path: Path) -> bytes:
    """What a stream has in it, no further than the bound of its file."""
    data = packed.read(bound(path, text=True) + 1)
    check_size(path, len(data), "what is in it", text=True)
    return data


def read_bytes(path: Path) -> bytes:
    """A file of text, or what a `.bz2` has in it."""
    if path.suffix.lower() != ".bz2":
        return path.read_bytes()
    with bz2.open(path) as packed:
        return unpack(packed, path)


def check_members(archive: zipfile.ZipFile, path: Path, text: bool = False) -> None:
    """No name twice, of which a reader would take one without a word, and a bounded sum of sizes."""
    names = archive.namelist()
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{path} has {name} twice: keep one of them")
        seen.add(name)
    check_size(path, sum(member.file_size for member in archive.infolist()), "what is in it", text)
