"""Files in one move: whoever looks finds the old one or the new one, whole, whenever a writer is stopped."""

import contextlib
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

_PARTIAL = ".partial"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A file beside, to be written in its place, which takes the place of `path` when it is whole and on the disk.

    Its name is its own, so that two writers do not meet in one file. An error leaves what was there.

    Raises:
        OSError: with the name of the file, for a full disk, a folder that is not there or takes no files, or a `path` that is
            something else than a file.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with replacing(file) as beside:
        ...     _ = beside.write_text("all of it")
        >>> file.read_text(), len(list(file.parent.iterdir()))
        ('all of it', 1)
    """
    path = Path(os.path.realpath(path))  # a link stays one, and what it leads to is replaced
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no file: name one that can be written")
    ending = "".join(path.suffixes[-2:])  # by which some libraries choose the format
    beside = _beside(path, ending if len(ending) < 20 else "")
    try:
        yield beside
        _to_disk(beside)
        os.replace(beside, path)
        if os.name == "posix":  # elsewhere folders cannot be opened
            with contextlib.suppress(OSError):  # some network drives refuse, and the file is there
                _to_disk(path.parent)
    except OSError as error:
        raise _named(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder beside, to be filled, which becomes `path` when it is whole; an error leaves nothing.

    Raises:
        FileExistsError: if there is something already.
        FileNotFoundError: if the folder it is to be in is not there.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"there is a {path} already: choose a new folder, or delete it")
    beside = _beside(path)
    try:
        yield beside
        os.replace(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _beside(path: Path, ending: str = "") -> Path:
    """A name of one's own beside a path, whose folder has to be there."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for {path.name}: make it first")
    return path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}{_PARTIAL}{ending}")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """A text in one move."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def clear(path: Path) -> None:
    """Takes away what killed writers of `path` left beside it; of a path that ends with '*', of all files of the folder.

    Only for who holds it: a writer at work is not known here.
    """
    name = "*" if path.name == "*" else glob.escape(path.name[:100])
    for left in path.parent.glob(f".{name}.*{_PARTIAL}*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def is_partial(path: Path) -> bool:
    """Whether a writer was stopped in the midst of this file."""
    return path.name.startswith(".") and _PARTIAL in path.name


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _named(error: OSError, path: Path) -> OSError:
    """The same error, of the file that was to be written."""
    if error.errno is None:
        return OSError(f"{path} could not be written: {error}")
    return OSError(error.errno, error.strerror, str(path))
