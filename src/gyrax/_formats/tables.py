"""Connectomes as tables: a folder of tsv, csv, txt and npy files, one such file, or an npz."""

import contextlib
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .fields import FIELDS, Labels, Part, label_tuple, numbers, table_labels, to_part
from .npy import load_npy, load_npz
from .reading import inside
from .text import cells_of, parse, read_lines
from .writing import is_partial, replacing

SUFFIXES = (".tsv", ".csv", ".txt", ".npy")
#: Endings of data that a folder of tables may hold and that are not read from it.
_FOREIGN = (".mat", ".npz", ".h5", ".hdf5", ".xlsx", ".xls", ".ods", ".dat", ".gz", ".bz2", ".zip", ".parquet", ".pkl")


def write_connectome(path: Path, labels: Labels, arrays: Mapping[str, Any]) -> None:
    """Writes what `Connectome.save` is asked to."""
    if path.suffix.lower() == ".npz":
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez_compressed(file, labels=np.array(labels), **arrays)
        return
    if path.suffix.lower() in SUFFIXES:
        raise ValueError(f"cannot save to {path}: give an .npz file, or a folder for tables")
    path.mkdir(parents=True, exist_ok=True)
    ours = [path / f"{field}.tsv" for field in arrays] + [path / "labels.txt"]
    foreign = sorted({file for files in candidates(path).values() for file in files} - set(ours))
    if foreign:
        raise FileExistsError(
            f"{foreign[0]} is there already and would be read as part of this connectome: "
            "choose a new folder, or delete that file"
        )
    lines = [f'"{label}"' for label in labels] if _quoted(labels) else labels  # of which one pair is taken away again
    # All are written, and only then put in place: an error leaves no half of two connectomes.
    with contextlib.ExitStack() as all_written:
        for field, value in arrays.items():
            beside = all_written.enter_context(replacing(path / f"{field}.tsv"))
            np.savetxt(beside, value, fmt="%.17g" if value.itemsize == 8 else "%.9g", delimiter="\t")
        beside = all_written.enter_context(replacing(path / "labels.txt"))
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8")


def candidates(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder that belong to a connectome, by field; in upper or lower case."""
    files: dict[str, list[Path]] = {field: [] for field in FIELDS}
    for file in sorted(folder.iterdir()):
        stem = file.stem.lower()
        field = "lengths" if stem == "tract_lengths" else stem  # The Virtual Brain's name
        if field in files and file.suffix.lower() in SUFFIXES:
            files[field].append(file)
    return files


def find(folder: Path) -> dict[str, Path]:
    """The one file of a folder for each field that it has."""
    files = candidates(folder)
    for several in files.values():
        if len(several) > 1:
            raise ValueError(f"{folder} has both {several[0].name} and {several[1].name}: keep one of them")
    found = {field: inside(several[0], folder) for field, several in files.items() if several}
    there = sorted(file for file in folder.iterdir() if file.is_file() and not is_partial(file))
    for file in there:
        field = file.name.lower().partition(".")[0].removeprefix("tract_")
        if field in FIELDS and field not in found and file.suffix.lower() in _FOREIGN:
            raise ValueError(f"{file} would be passed over: in a folder, {field} are one of {', '.join(SUFFIXES)}")
    check_names([file.stem.lower() for file in there if file.suffix.lower() in SUFFIXES], found, folder)
    return found


def check_names(names: list[str], found: Iterable[str], where: Path) -> None:
    """A `length.tsv` must not be passed over as if it were something else."""
    missing = [field for field in FIELDS if field not in found]
    for name in sorted(set(names) - set(FIELDS)):
        near = difflib.get_close_matches(name.lower(), missing, n=1, cutoff=0.8)
        if near:
            raise ValueError(f"{where} has {name!r} but no {near[0]!r}: rename it to {near[0]!r} if it is that")
    if "weights" in missing:
        raise FileNotFoundError(f"{where} has no 'weights', only {sorted(names)}")


def read_npz(path: Path) -> dict[str, Part]:
    """The fields that an npz has."""
    names, found = load_npz(path, FIELDS)
    check_names(names, found, path)
    return {field: to_part(field, found[field], f"{field} in {path}") for field in FIELDS if field in found}


def read_part(field: str, path: Path) -> Part:
    """One field from the file that holds it."""
    name, suffix = f"{field} in {path}", path.suffix.lower()
    if suffix == ".npy":
        array = load_npy(path)
        return to_part("labels", array, name) if field == "labels" else Part(numbers(array, name), None, name)
    if suffix not in (".tsv", ".csv", ".txt") or path.is_dir():
        raise ValueError(
            f"{name}: cannot read {'a folder' if path.is_dir() else path.suffix!r}, expected .tsv, .csv, .txt or .npy"
        )
    lines = read_lines(path, name)
    if field == "labels":
        return Part(None, label_tuple(_label_lines(lines, suffix, name), name), name)
    value, rows, columns = parse(lines, name)
    return Part(value, table_labels(rows, columns if field != "centres" else None, name), name)


def _label_lines(lines: list[str], suffix: str, name: str) -> list[str]:
    """One label a line; R puts each in quotes."""
    while lines and not lines[-1].strip():
        lines.pop()
    if lines and _quoted(lines):
        lines = [line[1:-1] for line in lines]
    cells = [] if suffix == ".txt" or not lines else cells_of(lines, name)[0]
    if any(len(row) > 1 for row in cells):
        raise ValueError(f"{name}: line 1 has {len(cells[0])} entries, expected one label a line")
    return lines


def _quoted(lines: Iterable[str]) -> bool:
    return all(len(line) > 1 and line[0] == line[-1] == '"' for line in lines)
