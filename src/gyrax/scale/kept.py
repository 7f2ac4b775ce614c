"""A folder of fits: what each subject's fit returned, what is said of it, and which function and subjects they are of."""

import json
import math
import os
import platform
import traceback
from collections.abc import Mapping
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
from ..fitting.captured import Itself, Read, reads
from ..fitting.fingerprint import Fingerprint, as_read, differences, surroundings
from ..fitting.results import FitResult
from ..io.saving import load, save
from ..parameters.addresses import named_leaves

ABOUT, LOCK = "fits.json", "fits.lock"
#: Columns of a table that are no numbers of the result.
SECONDS, ERROR = "seconds", "error"
#: Names that a sentence lists.
_FEW = 5
#: Characters of a file's name, to which endings come, and what stands there while it is written.
_LONG = 150

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


def subject_told(subject: Any) -> Told:
    """What a subject is: its numbers and texts; of the path of a file, also size and time of the last change."""
    found = reads(subject)
    told = [(read.name, read.thing) for read in found if not isinstance(read.thing, Itself)]
    if isinstance(subject, str | os.PathLike) and os.path.isfile(subject):
        about = os.stat(subject)
        told.append(("the file", (about.st_size, about.st_mtime_ns)))
    return Told({"the subject": digest(told)}, _unknown(found))


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

    def begin(self, fit: Told, names: list[str], changed: str) -> None:
        """Says what the folder is of, or compares it with what it says.

        Raises:
            ValueError: if fits of another function are kept there, with what differs, or something else; if it is damaged.
        """
        clear(self.path / "*")
        about = self.path / ABOUT
        if about.exists():
            there = _read(about)
            found = differences(there["fit"], fit.parts)
            if found and changed != "accept":
                raise ValueError(
                    f"out={str(self.path)!r} holds what another function gave: {'; '.join(found)}. Give the function it was begun with, another "
                    "folder, or changed='accept' to keep what is there and do the rest with this one"
                )
            names = [*there["names"], *(name for name in names if name not in there["names"])]
        else:
            others = [one.name for one in self.path.iterdir() if not passes(one)]
            if others:
                raise ValueError(f"out={str(self.path)!r} is no folder of fits, and holds {others[0]}: name a new one")
        write_text(about, json.dumps({"fit": fit.parts, "names": names}, indent=1))

    def kept(self, name: str) -> Kept | None:
        """What is said of a subject; None if nothing is yet.

        Raises:
            ValueError: if it is damaged.
        """
        path = self.path / f"{file_name(name)}.json"
        if not path.exists():
            return None
        there = _read(path)
        found = Kept(
            there["subject"], {key: _decoded(value) for key, value in there["row"].items()}, there["traceback"]
        )
        return found if found.failed or self.result_file(name).exists() else None

    def compare(self, kept: Mapping[str, Kept], told: Mapping[str, Told]) -> None:
        """Refuses results of other subjects of the same names. Of one that failed, another may come.

        Raises:
            ValueError: naming them.
        """
        other = [
            name for name, one in kept.items() if not one.failed and one.subject != told[name].parts["the subject"]
        ]
        if other:
            more = f" and {len(other) - _FEW} more" if len(other) > _FEW else ""
            raise ValueError(
                f"subjects: under the names {', '.join(map(repr, other[:_FEW]))}{more}, out={str(self.path)!r} holds what was fitted to other data: "
                "give other names, or another folder"
            )

    def keep(self, name: str, result: Any, kept: Kept) -> None:
        """Writes a result, and then what is said of it, each in one move.

        Raises:
            TypeError: for a result that no file can hold.
        """
        if not kept.failed:
            save(self.result_file(name), result)
        row = {key: _encoded(value) for key, value in kept.row.items()}
        text = json.dumps({"name": name, "subject": kept.subject, "row": row, "traceback": kept.traceback}, indent=1)
        write_text(self.path / f"{file_name(name)}.json", text)

    def result_file(self, name: str) -> Path:
        """Of a subject."""
        return self.path / f"{file_name(name)}.npz"

    def load(self, name: str, model: Any, own: Any) -> Any:
        """A result, as `gx.io.load` reads it."""
        return load(self.result_file(name), model, own=own)

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
    numbers = {
        (f"result.{key}" if key in (SECONDS, ERROR) else key): value for key, value in numbers_of(result).items()
    }
    return Kept(told.parts["the subject"], numbers | {SECONDS: seconds, ERROR: ""}, "")


def of_error(told: Told, error: BaseException) -> Kept:
    """What is said of a failure."""
    text = "".join(traceback.format_exception(error))
    said = f"{type(error).__name__}: {error}"
    return Kept(told.parts["the subject"], {SECONDS: math.nan, ERROR: " ".join(said.split())}, text)


def numbers_of(result: Any, prefix: str = "") -> Row:
    """Single numbers of a result, by name: of a `FitResult` its loss, the terms of that step and the model's parameters.

    Example:
        >>> numbers_of({"fc": np.float64(0.5), "curve": np.ones(3), "inner": {"n": 2}})
        {'fc': 0.5, 'inner.n': 2}
    """
    if isinstance(result, FitResult):
        terms = {
            name: float(values[min(result.best_step, len(values) - 1)])
            for name, values in result.history.items()
            if name not in ("loss", "gradient", "validation") and len(values) and values.ndim == 1
        }
        about = {"loss": float(result.best_loss), **terms, "stopped": result.stopped, "learnt": bool(result.learnt)}
        return {prefix + name: value for name, value in about.items()} | numbers_of(result.model, prefix)
    if isinstance(result, Mapping | tuple | list):
        pairs = result.items() if isinstance(result, Mapping) else enumerate(result)
        return {name: x for key, value in pairs for name, x in numbers_of(value, f"{prefix}{key}.").items()}
    if isinstance(result, eqx.Module):
        return {prefix + name: x for name, leaf in named_leaves(result).items() if (x := _number(leaf)) is not None}
    found = _number(result)
    return {} if found is None else {prefix.removesuffix(".") or "value": found}


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


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        wanted = ("fit", "names") if path.name == ABOUT else ("subject", "row", "traceback")
        missing = [key for key in wanted if key not in found]
        if missing:
            raise ValueError(f"it has no {missing[0]}")
        return found
    except (ValueError, TypeError) as error:
        mend = "name another folder" if path.name == ABOUT else "delete it, and that subject is fitted again"
        raise ValueError(f"{path} is damaged ({error}): {mend}") from error
