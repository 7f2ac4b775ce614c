"""The same study of many subjects, each with a folder of its own data, and one of its own results."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._formats.locking import passes
from .._formats.writing import write_text
from .._kinds import few
from .._progress import tqdm
from ..network.network import Network
from ..parameters.addresses import get
from ..scale.kept import ERROR
from ..scale.many import Fits, fit_many, status_of_fits
from .config import read_settings
from .preparing import prepare
from .settings import Settings
from .study import Study

#: Settings that are one file or folder, and those that are several files.
_ONE, _SEVERAL = ("connectome", "atlas", "maps", "prior"), ("fit", "test")
#: What a subject was fitted to, in the folder of its results.
_FILES = "files.json"


class Subject(NamedTuple):
    """What is fitted of one subject.

    Attributes:
        name: of its folder, and of that of its results.
        settings: of its study, by name.
        files: path, size and time of the last change of all that it reads: others are refused when a fit goes on.
    """

    name: str
    settings: dict[str, Any]
    files: tuple[tuple[str, int, int], ...]


def read_subjects(where: str | Path, given: Mapping[str, Any], out: Path, smoke: bool = False) -> dict[str, Subject]:
    """The subjects of a folder, by the names of their folders.

    Args:
        where: the folder that has one of each subject, or a pattern of such, as 'study/sub-*'.
        given: settings by name. Scans to fit and to test are patterns within each subject's folder; the connectome, atlas, maps and prior are too,
            where they are there, or else what all subjects share.
        out: where results go, which is no subject.
        smoke: the same in seconds.

    Raises:
        FileNotFoundError: if there is no subject, or some lack what was named; which ones.
        ValueError, TypeError: as `Settings`.
    """
    folders = [folder.absolute() for folder in _folders(where) if folder.absolute() != out.absolute()]
    if not folders:
        raise FileNotFoundError(f"{where} has no folder in it: it is to have one of each subject")
    if not given.get("fit"):
        raise ValueError(
            "with --subjects, --fit names the scans within each subject's folder: --fit 'func/*rest1*.tsv'"
        )
    found: dict[str, dict[str, Any]] = {folder.name: {} for folder in folders}
    if len(found) < len(folders):
        raise ValueError(f"two of the folders of {where} have one name: subjects are known by theirs")
    for name in _SEVERAL:
        for pattern in given.get(name, ()):
            files = {folder.name: sorted(map(str, _matching(folder, pattern, name))) for folder in folders}
            _all_or_none(name, pattern, files)
            for subject, mine in files.items():
                found[subject][name] = (*found[subject].get(name, ()), *mine)
    for name in _ONE:
        if (value := given.get(name)) is None or (name == "connectome" and value == "dk84"):
            continue
        files = {folder.name: [str(folder / value)] * (folder / value).exists() for folder in folders}
        if any(files.values()):
            _all_or_none(name, value, files)
        for subject, mine in files.items():
            found[subject][name] = mine[0] if mine else str(Path(value).absolute())
    shared = {name: value for name, value in given.items() if name not in (*_ONE, *_SEVERAL)}
    settings = {name: Settings.from_plain(shared | own) for name, own in found.items()}
    settings = {name: one.smaller() if smoke else one for name, one in settings.items()}
    return {name: Subject(name, one.plain(), _about(one)) for name, one in settings.items()}


def _folders(where: str | Path) -> list[Path]:
    path = Path(where)
    if path.is_dir():
        inside = path.iterdir()
    elif any(sign in str(where) for sign in "*?["):
        inside = Path(path.anchor or ".").glob(str(path.relative_to(path.anchor) if path.anchor else path))
    else:
        raise FileNotFoundError(f"there is no folder {where}: --subjects names one that has a folder of each subject")
    return sorted(folder for folder in inside if folder.is_dir() and not folder.name.startswith("."))


def _matching(folder: Path, pattern: str, name: str) -> Iterator[Path]:
    if Path(pattern).is_absolute():
        raise ValueError(
            f"--{name} {pattern}: with --subjects it is looked for in each subject's folder, and begins there"
        )
    return (path for path in folder.glob(pattern) if not passes(path))


def _all_or_none(name: str, pattern: str, files: Mapping[str, list[str]]) -> None:
    """Refuses what some subjects lack: left out in silence, they would be fitted to less, or to what is another's."""
    lack = [subject for subject, mine in files.items() if not mine]
    if lack:
        raise FileNotFoundError(
            f"--{name} {pattern}: {len(lack)} of {len(files)} subjects have none: {few(lack)}. Complete them, move their "
            "folders elsewhere, or name the others by a pattern in quotes that leaves them out, such as --subjects 'study/sub-0[1-4]'"
        )


def _about(settings: Settings) -> tuple[tuple[str, int, int], ...]:
    """What tells files that changed."""
    named = [*settings.fit, *settings.test, *(getattr(settings, name) for name in _ONE)]
    files = []
    for path in (Path(name) for name in named if name not in (None, "dk84")):
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [(str(one), one.stat().st_size, one.stat().st_mtime_ns) for one in inside if one.is_file()]
    return tuple(files)


def read_all(subjects: Mapping[str, Subject], out: Path) -> tuple[Study | None, dict[str, Exception]]:
    """Reads whatever is not fitted yet once, before hours are spent on any of it.

    Returns:
        The study of the first that can be fitted, None if all are, and errors of those that cannot, by name.

    Raises:
        ValueError: if others were begun in `out`, by settings or files; which. If no subject at all can be fitted.
    """
    done = _done(out)
    _refuse_others(subjects, out, done)
    left = [name for name in subjects if name not in done]
    first, failed = None, {}
    for name in tqdm(left, desc="reading", unit="subject", leave=False):
        try:
            study = prepare(Settings.from_plain(subjects[name].settings), out / name, progress=False)
        except Exception as error:
            failed[name] = error
        else:
            first = first or study
    if len(failed) == len(subjects):
        name, error = next(iter(failed.items()))
        raise ValueError(f"no subject can be fitted; {name}: {type(error).__name__}: {error}") from error
    return first, failed


def _done(out: Path) -> set[str]:
    """Subjects that are fitted."""
    try:
        table = status_of_fits(out)
    except FileNotFoundError:
        return set()
    return {str(name) for name, error in zip(table.index, table[ERROR].tolist(), strict=True) if not error}


def _refuse_others(subjects: Mapping[str, Subject], out: Path, done: set[str]) -> None:
    """Refuses other settings than a subject was begun with, and other files than those of one that is fitted, by name."""
    for name, subject in subjects.items():
        folder = out / name
        if (folder / "config.yaml").exists():
            kept = read_settings(folder).plain()
            for setting, value in subject.settings.items():
                if kept[setting] != value:
                    raise ValueError(
                        f"{name} was begun in {out} with {setting} {kept[setting]}, not {value}: go on with that, or name another --out"
                    )
        if name not in done or not (folder / _FILES).exists():
            continue
        try:
            before = {path: about for path, *about in json.loads((folder / _FILES).read_text(encoding="utf-8"))}
        except (ValueError, TypeError) as error:
            raise ValueError(f"{folder / _FILES} is damaged ({error}): delete it") from error
        now = {path: about for path, *about in subject.files}
        other = [path for path in (before | now) if before.get(path) != now.get(path)]
        if other:
            how = (
                "has changed" if other[0] in before and other[0] in now else "is new" if other[0] in now else "is gone"
            )
            raise ValueError(
                f"{other[0]} {how} since {name} was fitted to it in {out}: put back what it was, or name another --out"
            )


def fit_subjects(subjects: Mapping[str, Subject], out: Path, client: Any = None) -> Fits:
    """A study of each subject in a folder of its name, here or on the workers of a cluster that reach the same folders.

    What is finished is not computed again, and a study that was cut goes on with the stage that it was in.

    Raises:
        ValueError, TypeError, BlockingIOError: as `gx.scale.fit_many`.
    """
    folder = out.absolute()

    def fit(subject: Subject) -> dict[str, Any]:
        study = prepare(Settings.from_plain(subject.settings), folder / subject.name, progress=False)
        (folder / subject.name).mkdir(parents=True, exist_ok=True)
        write_text(folder / subject.name / _FILES, json.dumps(subject.files, indent=1))
        return told(study, study.run())

    return fit_many(fit, subjects, out=folder, client=client)


def told(study: Study, network: Network) -> dict[str, Any]:
    """What a table says of a study that has run: how well its last stage fits, and those of its free parameters that are one number."""
    last = study.stages[-1]
    unseen, tests = last["unseen"], list(last["tests"].values())
    found = {
        "stage": last["name"],
        "r": unseen["r"],
        "r sd": unseen["r_sd"],
        "rmse": unseen["rmse"],
        "r of the mean": unseen["mean_r"],
    }
    found |= {"r of tests": float(np.mean(tests))} if tests else {}
    for path in study.free:
        with contextlib.suppress(ValueError):  # of another stage's model
            value = np.asarray(get(network, path))
            found |= {path: float(value)} if value.ndim == 0 else {}
    return found
