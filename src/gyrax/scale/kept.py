"""A folder of fits: what each subject's fit returned, what is said of it, and which function and subjects they are of."""

import hashlib
import itertools
import json
import math
import os
import platform
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._digests import digest
from .._formats.locking import passes
from .._formats.writing import clear, write_text
from .._kinds import few, shown
from ..fitting.captured import Itself, Read, reads
from ..fitting.fingerprint import Fingerprint, as_read, differences, surroundings
from ..fitting.results import FitResult
from ..io.saving import load, save
from ..parameters.addresses import named_leaves

ABOUT, LOCK = "fits.json", "fits.lock"
#: Columns of a table that are no numbers of the result.
SECONDS, ERROR = "seconds", "error"
#: Characters of a file's name, to which endings come, and what stands there while it is written.
_LONG = 150
#: Files of a subject's folder that are looked at.
_MOST_FILES = 100_000

Row = dict[str, Any]


class Told(NamedTuple):
    """A digest of what a function or subject is, by parts, and what of it nothing can look into."""

    parts: Fingerprint
    unknown: list[str]


class Kept(NamedTuple):
    """What is said of one subject.

    Attributes:
        subject: a digest of it.
        row: numbers of the result by name, the seconds that the fit took, and the error if it failed.
        traceback: of the error, or nothing.
    """

    subject: str
    row: Row
    traceback: str

    @property
    def failed(self) -> bool:
        """Whether there is an error and no result."""
        return bool(self.row[ERROR])


def function_told(fit: Any) -> Told:
    """What a function is: its code, that of functions of the user's that it calls, and what they read from outside.

    Example:
        >>> rate = 0.5
        >>> told = function_told(lambda subject: rate * subject)
        >>> [name for name in told.parts if "rate" in name], told.unknown
        (['rate, which fit reads,'], [])
    """
    found = reads(fit)
    named: dict[str, list[Any]] = {}
    for read in found:
        if not isinstance(read.thing, Itself):
            named.setdefault(read.name, []).append(read.thing)
    parts = {"the code of fit": f"#{digest(named.pop('', []))}"}
    for name, things in named.items():
        parts[f"{name}, which fit reads,"] = as_read(things[0]) if len(things) == 1 else f"#{digest(things)}"
    python = ".".join(platform.python_version_tuple()[:2])
    return Told(surroundings() | {"the version of Python": python} | parts, _unknown(found))


def subject_told(subject: Any, but: Path | None = None) -> Told:
    """What a subject is: its numbers and texts; of paths in it, in dicts, lists and tuples too, also sizes and times of the last change of the files.

    Args:
        subject: anything.
        but: a folder whose files are none of the subject's: the one that results are written to.
    """
    found = reads(subject)
    told = [(read.name, read.thing) for read in found if not isinstance(read.thing, Itself)]
    unknown = _unknown(found)
    for path in _paths_in(subject, set()):
        if os.path.isfile(path):
            about = os.stat(path)
            told.append(("the file", (about.st_size, about.st_mtime_ns)))
        elif os.path.isdir(path):
            files = _files_in(Path(path), None if but is None else but.resolve())
            if len(files) > _MOST_FILES:
                unknown.append(f"a folder of more than {_MOST_FILES} files, {os.fspath(path)}")
            else:
                told.append(("the folder", files))
    return Told({"the subject": digest(told)}, unknown)


def _paths_in(x: Any, above: set[int]) -> Iterator[str | os.PathLike[str]]:
    """Texts and paths of a subject, in the order in which they stand there."""
    if isinstance(x, str | os.PathLike):
        yield x
    elif isinstance(x, Mapping | tuple | list) and id(x) not in above:
        for part in x.values() if isinstance(x, Mapping) else x:
            yield from _paths_in(part, above | {id(x)})


def _files_in(folder: Path, but: Path | None) -> list[tuple[Any, ...]]:
    """Name, size and time of the last change of all files in a folder; links to folders by where they lead, as they may lead in circles."""
    found: list[tuple[Any, ...]] = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if but is None or Path(where, one).resolve() != but)
        links = [one for one in folders if os.path.islink(os.path.join(where, one))]
        for name in sorted([*links, *files]):
            path = Path(where, name)
            if passes(path):
                continue
            try:
                about = None if name in links else path.stat()
            except OSError:  # a link that leads nowhere
                about = None
            known = (os.readlink(path),) if about is None and path.is_symlink() else ()
            known = known if about is None else (about.st_size, about.st_mtime_ns)
            found.append((path.relative_to(folder).as_posix(), *known))
        if len(found) > _MOST_FILES:
            break
    return found


def _unknown(found: list[Read]) -> list[str]:
    return list(
        dict.fromkeys(
            f"{x.name or 'something'} ({type(x.thing.thing).__name__})" for x in found if isinstance(x.thing, Itself)
        )
    )


def file_name(name: str) -> str:
    """A subject's name as that of a file, without an ending; what not all systems take is written as in addresses.

    Raises:
        ValueError: for a name that is too long.

    Example:
        >>> file_name("sub-01"), file_name("a/b"), file_name("fits")
        ('sub-01', 'a%2Fb', '%66its')
    """
    quoted = quote(name, safe=" ()+,=@[]")
    if quoted[:1] == "." or quoted.casefold() == Path(ABOUT).stem:
        quoted = f"%{ord(quoted[0]):02X}{quoted[1:]}"
    if not 0 < len(quoted) <= _LONG:
        raise ValueError(f"subjects: {name[:40]!r}... is no name for a file: give names of 1 to {_LONG} characters")
    return quoted


class Folder:
    """Where fits are kept, by one process at a time, which holds its lock."""

    def __init__(self, path: Path):
        self.path = path

    def check(self, fit: Told, names: list[str], changed: str) -> list[str]:
        """Compares the folder with what it says that it is of, and changes nothing there.

        Returns:
            Names of all subjects, those of earlier calls first.

        Raises:
            ValueError: if fits of another function are kept there, with what differs, or something else; if it is damaged.
        """
        clear(self.path / "*")
        about = self.path / ABOUT
        if not about.exists():
            others = [one.name for one in self.path.iterdir() if not passes(one)]
            if others:
                raise ValueError(f"out={str(self.path)!r} is no folder of fits, and holds {others[0]}: name a new one")
            return names
        there = _read(about)
        found = differences(there["fit"], fit.parts)
        if found and changed != "accept":
            raise ValueError(
                f"out={str(self.path)!r} holds what another function gave: {'; '.join(found)}. Give the function it was begun with, another "
                "folder, or changed='accept' to keep what is there and do the rest with this one"
            )
        return list(dict.fromkeys([*there["names"], *names]))

    def begin(self, fit: Told, names: list[str]) -> None:
        """Says what the folder is of."""
        write_text(self.path / ABOUT, json.dumps({"fit": fit.parts, "names": names}, indent=1))

    def kept(self, name: str) -> Kept | None:
        """What is said of a subject; None if nothing is yet, or its result is not there as it was written.

        Raises:
            ValueError: if it is damaged.
        """
        there = self._said(name)
        if there is None:
            return None
        row = {key: _decoded(value) for key, value in there["row"].items()}
        found = Kept(there["subject"], row, there["traceback"])
        return found if found.failed or self._is_whole(name, there.get("result")) else None

    def _said(self, name: str) -> dict[str, Any] | None:
        """The subject's json."""
        path = self.path / f"{file_name(name)}.json"
        try:
            there = _read(path)
        except FileNotFoundError:
            return None
        if there.get("name", name) != name:
            raise ValueError(f"{path} is damaged (it is of {there['name']!r}): {_FIT_AGAIN}")
        return there

    def _is_whole(self, name: str, result: Mapping[str, Any] | None) -> bool:
        """Whether the file of a result is there, and as long as it was; earlier versions of gyrax did not say how long."""
        path = self.result_file(name)
        return path.is_file() and (result is None or path.stat().st_size == result["size"])

    def compare(self, kept: Mapping[str, Kept], told: Mapping[str, Told]) -> None:
        """Refuses results of other subjects of the same names. Of one that failed, another may come.

        Raises:
            ValueError: naming them.
        """
        other = [
            name for name, one in kept.items() if not one.failed and one.subject != told[name].parts["the subject"]
        ]
        if other:
            raise ValueError(
                f"subjects: under the names {few(list(map(repr, other)))}, out={str(self.path)!r} holds what was fitted to other data "
                "(their numbers, texts, or files that their paths lead to): give other names, or another folder"
            )

    def keep(self, name: str, outcome: Any, kept: Kept) -> None:
        """Writes a result, and then what is said of it, each in one move.

        Raises:
            TypeError: for a result that no file can hold.
        """
        path = self.path / f"{file_name(name)}.json"
        result = None
        if not kept.failed:
            path.unlink(missing_ok=True)  # what it says is not of the file to come
            save(self.result_file(name), outcome)
            result = {"size": self.result_file(name).stat().st_size, "digest": _file_digest(self.result_file(name))}
        row = {key: _encoded(value) for key, value in kept.row.items()}
        about = {"name": name, "subject": kept.subject, "row": row, "traceback": kept.traceback, "result": result}
        write_text(path, json.dumps(about, indent=1))

    def result_file(self, name: str) -> Path:
        """Of a subject."""
        return self.path / f"{file_name(name)}.npz"

    def load(self, name: str, model: Any, own: Any) -> Any:
        """A result, as `gx.io.load` reads it.

        Raises:
            ValueError: if the file is not the one that was written of this subject.
        """
        path, said = self.result_file(name), self._said(name)
        written = None if said is None else said.get("result")
        if written and path.is_file() and _file_digest(path) != written["digest"]:
            raise ValueError(
                f"{path} is damaged, or another subject's: it is not what was written of {name!r}. Delete it, and the next call of fit_many fits "
                "that subject again"
            )
        return load(path, model, own=own)

    def names(self) -> list[str]:
        """Of all subjects so far.

        Raises:
            FileNotFoundError: if no fits are kept there.
        """
        if not (self.path / ABOUT).exists():
            raise FileNotFoundError(f"{self.path} holds no fits: name the folder that fit_many was given as out=")
        return _read(self.path / ABOUT)["names"]


def of_result(told: Told, result: Any, seconds: float) -> Kept:
    """What is said of a result."""
    return Kept(told.parts["the subject"], numbers_of(result) | {SECONDS: seconds, ERROR: ""}, "")


def of_error(told: Told, error: BaseException) -> Kept:
    """What is said of a failure."""
    text = "".join(traceback.format_exception(error))
    said = f"{type(error).__name__}: {error}"
    return Kept(told.parts["the subject"], {SECONDS: math.nan, ERROR: " ".join(said.split())}, text)


def numbers_of(result: Any) -> Row:
    """Single numbers of a result, by name: of a `FitResult` its loss, the terms of that step and the model's parameters.

    Names that a table has of its own are those of the result by 'result.'. Those that would be one are numbered apart, whatever order they came in.

    Example:
        >>> numbers_of({"fc": np.float64(0.5), "curve": np.ones(3), "inner": {"n": 2}})
        {'fc': 0.5, 'inner.n': 2}
        >>> numbers_of({"a": {"b": 1}, "a.b": 2, "error": 0.1})
        {'a.b': 1, 'a.b (2)': 2, 'result.error': 0.1}
    """
    named: dict[str, list[tuple[tuple[str, ...], Any]]] = {}
    for path, value in _numbers(result, ()):
        name = ".".join(path) or "value"
        named.setdefault(f"result.{name}" if name in (SECONDS, ERROR) else name, []).append((path, value))
    row: Row = {}
    for name, several in named.items():
        free = (f"{name} ({i})" for i in itertools.count(2))
        free = itertools.chain([name], (one for one in free if one not in named))
        row |= {one: value for one, (_, value) in zip(free, sorted(several, key=lambda x: x[0]), strict=False)}
    return row


def _numbers(result: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Single numbers, each with the way that leads to it."""
    if isinstance(result, FitResult):
        yield (*path, "loss"), float(result.best_loss)
        for name, values in result.history.items():
            if name not in ("loss", "gradient", "validation") and len(values) and values.ndim == 1:
                yield (*path, name), float(values[min(result.best_step, len(values) - 1)])
        yield (*path, "stopped"), result.stopped
        yield (*path, "learnt"), bool(result.learnt)
        yield from _numbers(result.model, path)
    elif isinstance(result, Mapping | tuple | list):
        for key, value in result.items() if isinstance(result, Mapping) else enumerate(result):
            yield from _numbers(value, (*path, str(key)))
    elif isinstance(result, eqx.Module):
        for name, leaf in named_leaves(result).items():
            if (value := _number(leaf)) is not None:
                yield (*path, name), value
    elif (value := _number(result)) is not None:
        yield path, value


def cut_short(result: Any) -> bool:
    """Whether Ctrl-C ended a fit within, which then gave what it had."""
    if isinstance(result, Mapping | tuple | list):
        return any(map(cut_short, result.values() if isinstance(result, Mapping) else result))
    return getattr(result, "stopped", None) == "interrupted"


def _number(x: Any) -> Any:
    """A single number, flag or short text as Python has it; None for anything else."""
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return None
    if isinstance(x, np.generic | np.ndarray | jax.Array):
        return np.asarray(x).item() if np.shape(x) == () and np.asarray(x).dtype.kind in "biuf" else None
    return x if isinstance(x, bool | int | float) or (isinstance(x, str) and len(x) < _LONG) else None


def _encoded(value: Any) -> Any:
    """A number for JSON, which knows no NaN."""
    return {"float": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _decoded(value: Any) -> Any:
    return float(value["float"]) if isinstance(value, dict) else value


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """One of the folder's texts.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it does not hold what is written there.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it is a {type(found).__name__}")
        _check(found, _ABOUT_KINDS if path.name == ABOUT else _SUBJECT_KINDS)
        return found
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {_NEW if path.name == ABOUT else _FIT_AGAIN}") from error


_NEW, _FIT_AGAIN = "name another folder", "delete it, and that subject is fitted again"


def _are_texts(found: Any) -> bool:
    return all(isinstance(x, str) for x in found)


def _is_row(found: Any) -> bool:
    """Whether it is a row of a table as `Folder.keep` writes it."""
    if not isinstance(found, dict):
        return False
    try:
        values = {key: _decoded(value) for key, value in found.items()}
    except (KeyError, TypeError, ValueError):
        return False
    plain = all(isinstance(x, bool | int | float | str) for x in values.values())
    return plain and isinstance(values.get(ERROR), str) and isinstance(values.get(SECONDS), int | float)


def _is_result(found: Any) -> bool:
    return found is None or (
        isinstance(found, dict) and isinstance(found.get("size"), int) and isinstance(found.get("digest"), str)
    )


#: What is to be in the texts.
_ABOUT_KINDS: dict[str, Callable[[Any], bool]] = {
    "fit": lambda x: isinstance(x, dict) and bool(x) and _are_texts(x.values()),
    "names": lambda x: isinstance(x, list) and _are_texts(x) and len(set(x)) == len(x),
}
_SUBJECT_KINDS: dict[str, Callable[[Any], bool]] = {
    "subject": lambda x: isinstance(x, str),
    "row": _is_row,
    "traceback": lambda x: isinstance(x, str),
    "result": _is_result,
}
#: What earlier versions did not write.
_MAY_LACK = ("result",)


def _check(found: Mapping[str, Any], kinds: Mapping[str, Callable[[Any], bool]]) -> None:
    for key, is_so in kinds.items():
        if key not in found and key not in _MAY_LACK:
            raise ValueError(f"it has no {key}")
        if not is_so(found.get(key)):
            raise ValueError(f"its {key} makes no sense: {shown(found[key])}")
