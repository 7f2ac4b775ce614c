"""The same fit of many subjects, each a task of its own."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from .._formats.locking import held
from .._kinds import choice, expect, expect_function, few, refused
from .._progress import tqdm
from .._warned import warn
from .kept import (
    ERROR,
    LOCK,
    SECONDS,
    Folder,
    Kept,
    Told,
    cut_short,
    file_name,
    function_told,
    of_error,
    of_result,
    subject_told,
)
from .tasks import check_client, completed

_FEW = 5
#: What is said of a subject where no later call compares it.
_NOT_KEPT = Told({"the subject": ""}, [])


class Fits(Mapping[str, Any]):
    """What `fit_many` found: results by the subject's name, and a table of all. A result in a folder is read when it is asked for.

    Attributes:
        table: one row a subject, in the order given: single numbers of the result (of a `FitResult` its `loss`, the terms of the loss at that step,
            and the model's parameters that are one number), `seconds` of the fit, and `error`, empty where there is a result.
        tracebacks: of those that failed.
        stopped: 'done', or 'interrupted' by Ctrl-C: subjects that were not reached have the error 'not fitted yet'.
        out: the folder; None if there is none.
    """

    def __init__(
        self, names: list[str], kept: Mapping[str, Kept], results: Mapping[str, Any], stopped: str, out: Path | None
    ):
        self.table = table_of(names, kept)
        self.tracebacks = {name: one.traceback for name, one in kept.items() if one.failed}
        self.stopped = stopped
        self.out = out
        self._done = [name for name in names if name in kept and not kept[name].failed]
        self._results = dict(results)

    def __getitem__(self, name: str) -> Any:
        return self.load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._done)

    def __len__(self) -> int:
        return len(self._done)

    def load(self, name: str, model: Any = None, *, own: Any = ()) -> Any:
        """One result; with classes of your own as `gx.io.load` takes them.

        Args:
            name: of the subject.
            model: what the result is to be like, or None.
            own: your own classes and functions that the result may hold.

        Raises:
            KeyError: if there is no such subject, or its fit failed.
            ValueError: if its file is damaged, or another subject's.
        """
        if name not in self.table.index:
            raise KeyError(f"no subject {name!r}; there are {', '.join(map(repr, self.table.index[:_FEW]))}, ...")
        if name not in self._done:
            raise KeyError(f"there is no result of {name!r}: {self.table.loc[name, ERROR]}")
        if self.out is None:
            return self._results[name]
        return Folder(self.out).load(name, model, own)

    def __repr__(self):
        text = f"Fits({len(self)} of {len(self.table)} subjects"
        text += f", {len(self.tracebacks)} failed" if self.tracebacks else ""
        return (
            text
            + (f", {self.stopped}" if self.stopped != "done" else "")
            + (f", in {self.out}" if self.out else "")
            + ")"
        )


def fit_many(
    fit: Callable[[Any], Any],
    subjects: Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None = None,
    client: Any = None,
    changed: Literal["raise", "accept"] = "raise",
    progress: bool | str = True,
) -> Fits:
    """Fits every subject by itself, here or side by side on a cluster, and keeps what is finished.

    A subject that fails is recorded with its error and stops nothing. With a folder, what a fit returns is written as soon as it ends, each
    file in one move, and the same call goes on with what is missing or failed, after Ctrl-C, a crash, or with more subjects.

    Args:
        fit: `fit(subject)` gives a `FitResult`, a Network or another Module, a number, or a dict of such and of arrays: what `gx.io.save` takes.
            It draws noise from keys of its own, the same ones in every call.
        subjects: anything, by name: a loaded subject, the path of one, a number of regions of its own each.
        out: a folder, made where there is none. It knows `fit` by its code and what that reads from outside, without code of libraries, and
            subjects by their numbers and texts (of paths, in dicts, lists and tuples too, sizes and times of change of the files; so paths that a
            fit writes to are made in `fit`). What nothing can look into is said in a warning: if that changes, name another folder.
        client: of `dask.distributed`, whose workers have one thread each; without, one after another here.
        changed: 'accept' goes on with another function than the folder was begun with, and keeps what is there.
        progress: show a bar over subjects; a text is its title.

    Raises:
        TypeError: if the first result that comes is nothing that can be kept.
        ValueError: if the folder is of another function or other subjects (what differs), or of something else.
        BlockingIOError: if another process is at work in the folder.

    Example:
        >>> import gyrax as gx, numpy as np
        >>> def fit(scale):
        ...     return {"loss": 0.5 * scale, "curve": np.ones(3)}
        >>> fits = gx.scale.fit_many(fit, {"one": 1.0, "two": 2.0}, progress=False)
        >>> fits.table["loss"].tolist(), fits["two"]["curve"].shape
        ([0.5, 1.0], (3,))
    """
    expect_function("fit", fit, "lambda subject: gx.fit(network_of(subject), loss, spec, optimiser, steps=100)")
    line = "{'sub-01': subject, 'sub-02': another}"
    expect("subjects", subjects, Mapping, "a dict of subjects by name", line)
    if not subjects or not all(isinstance(name, str) for name in subjects):
        raise refused("subjects", subjects, "a dict of subjects by name, one at least", line)
    expect("out", out, (str, os.PathLike, None), "the path of a folder", "'fits'")
    check_client(client)
    choice("changed", changed, ("raise", "accept"))
    expect("progress", progress, (bool, str), "True, False or a title", "True")
    folder = None if out is None else _folder(out, subjects)
    with nullcontext() if folder is None else held(folder.path, folder.path / LOCK):
        return _fit_all(fit, subjects, folder, client, changed, progress)


def _folder(out: str | os.PathLike[str], subjects: Mapping[str, Any]) -> Folder:
    """The folder, made where there is none.

    Raises:
        ValueError: for names that would be one file.
    """
    files: dict[str, str] = {}
    for name in subjects:
        other = files.setdefault(file_name(name).casefold(), name)
        if other != name:
            raise ValueError(
                f"subjects: {other!r} and {name!r} are one file on some systems: name one of them otherwise"
            )
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise ValueError(f"out= is a folder, and {path} a file: name another")
    path.mkdir(parents=True, exist_ok=True)
    return Folder(path)


def _fit_all(
    fit: Callable[[Any], Any],
    subjects: Mapping[str, Any],
    folder: Folder | None,
    client: Any,
    changed: str,
    progress: bool | str,
) -> Fits:
    told = {name: subject_told(subject, folder.path) if folder else _NOT_KEPT for name, subject in subjects.items()}
    kept = {} if folder is None else _kept_before(folder, fit, told, changed)
    results: dict[str, Any] = {}
    left = [name for name in subjects if name not in kept or kept[name].failed]
    bar = tqdm(total=len(subjects), initial=len(subjects) - len(left), unit="subject", disable=not progress)
    bar.set_description(progress if isinstance(progress, str) else "fits")
    stopped = "done"
    try:
        for index, outcome in completed(_timed, fit, (subjects[name] for name in left), client=client):
            name = left[index]
            result, kept[name] = _said(told[name], outcome)
            if cut_short(result):
                del kept[name]
                raise KeyboardInterrupt
            if folder is None:
                results[name] = result
            else:
                kept[name] = _written(folder, name, result, kept[name], told[name], first=not _any_result(kept, name))
            bar.update()
            failures = sum(one.failed for one in kept.values())
            bar.set_postfix({"failed": failures} if failures else {})
    except KeyboardInterrupt:
        stopped = "interrupted"
    finally:
        bar.close()
    return Fits(list(subjects), kept, results, stopped, None if folder is None else folder.path)


def _kept_before(folder: Folder, fit: Any, told: Mapping[str, Told], changed: str) -> dict[str, Kept]:
    """What earlier calls kept of these subjects, after a look at whether they are the same."""
    function = function_told(fit)
    names = folder.check(function, list(told), changed)
    kept = {name: one for name in told if (one := folder.kept(name)) is not None}
    folder.compare(kept, told)
    folder.begin(function, names)  # last: a refused call leaves the folder as it was
    unknown = [f"fit reads {thing}" for thing in function.unknown]
    unknown += [f"{name} holds {thing}" for name, one in told.items() for thing in one.unknown]
    if unknown:
        warn(
            f"a later call cannot tell whether these are what they were: {few(unknown)}. Nothing can look into them; if they "
            "change, name another out="
        )
    return kept


def _timed(fit: Callable[[Any], Any], subject: Any) -> tuple[Any, float]:
    since = time.perf_counter()
    try:
        result = fit(subject)
    except SystemExit as error:  # which would end all others too, or a worker
        raise RuntimeError(f"fit ended by SystemExit, with {error.code!r}: scripts do so by sys.exit()") from error
    return result, time.perf_counter() - since


def _said(told: Told, outcome: Any) -> tuple[Any, Kept]:
    """A result, None where there is none, and what is said of it."""
    if isinstance(outcome, BaseException):
        return None, of_error(told, outcome)
    result, seconds = outcome
    return result, of_result(told, result, seconds)


def _any_result(kept: Mapping[str, Kept], but: str) -> bool:
    return any(not one.failed for name, one in kept.items() if name != but)


def _written(folder: Folder, name: str, result: Any, kept: Kept, told: Told, first: bool) -> Kept:
    """What was written. The first result that no file can hold ends all: the others would be alike. Later ones are failures of their own."""
    try:
        folder.keep(name, result, kept)
        return kept
    except TypeError as error:
        if first:
            raise TypeError(
                f"fit returned for {name!r} what cannot be kept in out=: {error}. Let it return a FitResult, a Module, or a dict of "
                "numbers and arrays"
            ) from error
        failed = of_error(told, error)
        folder.keep(name, None, failed)
        return failed


def table_of(names: list[str], kept: Mapping[str, Kept]) -> pd.DataFrame:
    """One row a subject; columns in the order in which they first come, seconds and error last."""
    rows = [kept[name].row if name in kept else {ERROR: "not fitted yet"} for name in names]
    columns = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in (SECONDS, ERROR)]
    found = pd.DataFrame(rows, index=pd.Index(names, name="subject"), columns=pd.Index([*columns, SECONDS, ERROR]))
    return found


def status_of_fits(out: str | os.PathLike[str]) -> pd.DataFrame:
    """The table of a folder of fits as far as they have come, also while others are at work there; no result is read.

    Args:
        out: what `fit_many` was given.

    Returns:
        As `Fits.table`.

    Raises:
        FileNotFoundError: if no fits are kept there.
    """
    expect("out", out, (str, os.PathLike), "the path of a folder", "'fits'")
    folder = Folder(Path(out))
    names = folder.names()
    return table_of(names, {name: one for name in names if (one := folder.kept(name)) is not None})
