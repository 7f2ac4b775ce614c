"""The same study of many subjects, each with a folder of its own data, and one of its own results."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._formats.locking import passes
from ..network.network import Network
from ..parameters.addresses import get
from ..scale.many import Fits, fit_many
from .preparing import prepare
from .settings import Settings
from .study import Study

#: Settings that are one file or folder, and those that are several files.
_ONE, _SEVERAL = ("connectome", "atlas", "maps", "prior"), ("fit", "test")
#: Subjects that a sentence names.
_FEW = 5


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
        more = f" and {len(lack) - _FEW} more" if len(lack) > _FEW else ""
        raise FileNotFoundError(
            f"--{name} {pattern}: {len(lack)} of {len(files)} subjects have none: {', '.join(lack[:_FEW])}{more}. Complete them, or name the "
            "folders of the others by a pattern, --subjects 'study/sub-*'"
        )


def _about(settings: Settings) -> tuple[tuple[str, int, int], ...]:
    """What tells files that changed."""
    named = [*settings.fit, *settings.test, *(getattr(settings, name) for name in _ONE)]
    files = []
    for path in (Path(name) for name in named if name not in (None, "dk84")):
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [(str(one), one.stat().st_size, one.stat().st_mtime_ns) for one in inside if one.is_file()]
    return tuple(files)


def fit_subjects(subjects: Mapping[str, Subject], out: Path, client: Any = None) -> Fits:
    """A study of each subject in a folder of its name, here or on the workers of a cluster that reach the same folders.

    What is finished is not computed again, and a study that was cut goes on with the stage that it was in.

    Raises:
        ValueError, TypeError, BlockingIOError: as `gx.scale.fit_many`.
    """
    folder = out.absolute()

    def fit(subject: Subject) -> dict[str, Any]:
        study = prepare(Settings.from_plain(subject.settings), folder / subject.name, progress=False)
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
