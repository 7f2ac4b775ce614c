"""Connectomes as tables: a folder of tsv, csv, txt and npy files, one such file, or an npz."""

import csv
import difflib
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .fields import FIELDS, Labels, Part, at, closest, label_tuple, numbers, table_labels, to_part

SUFFIXES = (".tsv", ".csv", ".txt", ".npy")
_MISSING = ("", "na", "n/a", "nan", "null", "none")


def existing(path: str | os.PathLike[str]) -> Path:
    """The path, if something is there."""
    path = Path(path)
    if not path.exists():
        near = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        raise FileNotFoundError(f"there is no {path}" + (f": {closest(path.name, sorted(near))}" if near else ""))
    return path


def write_connectome(path: Path, labels: Labels, arrays: Mapping[str, Any]) -> None:
    """Writes what `Connectome.save` is asked to."""
    if path.suffix == ".npz":
        np.savez_compressed(path, labels=np.array(labels), **arrays)
        return
    if path.suffix in SUFFIXES:
        raise ValueError(f"cannot save to {path}: give an .npz file, or a folder for tables")
    path.mkdir(parents=True, exist_ok=True)
    ours = [path / f"{field}.tsv" for field in arrays] + [path / "labels.txt"]
    foreign = sorted({file for files in candidates(path).values() for file in files} - set(ours))
    if foreign:
        raise FileExistsError(
            f"{foreign[0]} is there already and would be read as part of this connectome: "
            "choose a new folder, or delete that file"
        )
    for field, value in arrays.items():
        np.savetxt(path / f"{field}.tsv", value, fmt="%.17g" if value.itemsize == 8 else "%.9g", delimiter="\t")
    (path / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")


def candidates(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder that belong to a connectome, by field."""
    files: dict[str, list[Path]] = {field: [] for field in FIELDS}
    for file in sorted(folder.iterdir()):
        field = "lengths" if file.stem == "tract_lengths" else file.stem  # The Virtual Brain's name
        if field in files and file.suffix in (SUFFIXES if field != "labels" else (".txt",)):
            files[field].append(file)
    return files


def find(folder: Path) -> dict[str, Path]:
    """The one file of a folder for each field that it has."""
    files = candidates(folder)
    for several in files.values():
        if len(several) > 1:
            raise ValueError(f"{folder} has both {several[0].name} and {several[1].name}: keep one of them")
    found = {field: several[0] for field, several in files.items() if several}
    check_names([file.stem for file in folder.iterdir() if file.suffix in SUFFIXES], found, folder)
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
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, found = arrays.files, {field: arrays[field] for field in FIELDS if field in arrays.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as err:  # numpy does not say which file
        raise ValueError(f"{path}: cannot be read as .npz: {err}") from None
    check_names(names, found, path)
    return {field: to_part(field, value, f"{field} in {path}") for field, value in found.items()}


def read_part(field: str, path: Path) -> Part:
    """One field from the file that holds it."""
    name = f"{field} in {path}"
    if path.suffix == ".npy" and field != "labels":
        try:
            return Part(numbers(np.load(path, allow_pickle=False), name), None, name)
        except (ValueError, EOFError) as err:
            raise ValueError(f"{name}: cannot be read as .npy: {err}") from None
    if path.suffix not in (".tsv", ".csv", ".txt"):
        raise ValueError(f"{name}: cannot read {path.suffix or 'a folder'!r}, expected .tsv, .csv, .txt or .npy")
    lines = read_lines(path, name)
    if field == "labels":
        while lines and not lines[-1].strip():
            lines.pop()
        return Part(None, label_tuple(lines, name), name)
    value, rows, columns = parse(lines, name)
    return Part(value, table_labels(rows, columns if field != "centres" else None, name), name)


def read_lines(path: Path, name: str) -> list[str]:
    """The lines of a text file."""
    try:
        return path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{name}: not text in UTF-8; save it as UTF-8, or as .npy") from None


def parse(lines: list[str], name: str) -> tuple[np.ndarray, list[str] | None, list[str] | None]:
    """A table of text to its numbers, and its first column and first line where they are labels."""
    cells, numbers = cells_of(lines, name)
    rows, columns = None, None
    side = [row[0] for row in cells]
    corner = not side[0] and len(side) > 1
    # 0, 1, 2, ... in the first line look like numbers; pandas writes them so around an unlabelled table
    counted = cells[0] == side and all(c.isdecimal() for c in side[1:]) and sorted(set(side[1:]), key=int) == side[1:]
    if _is_text(cells[0][corner:]) or (corner and counted):
        columns = cells.pop(0)
    if cells and len(cells[0]) > 1 and (_is_text([row[0] for row in cells]) or (corner and columns)):
        rows = [row.pop(0) for row in cells]
        columns = columns and columns[1:]
    return to_numbers(cells, numbers[-len(cells) :], name), rows, columns


def cells_of(lines: list[str], name: str) -> tuple[list[list[str]], list[int]]:
    """The cells of each line that has any, all lines of one length, and the number of each line in the file."""
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    while numbered and numbered[0][1].startswith("#"):  # MRtrix and numpy write comments on top
        numbered.pop(0)
    if not numbered:
        raise ValueError(f"{name}: the file is empty")
    numbers, texts = [number for number, _ in numbered], [line for _, line in numbered]
    mark = next((mark for mark in "\t;," if mark in texts[0]), None)
    split = csv.reader(texts, delimiter=mark) if mark else map(str.split, texts)
    cells = [[cell.strip() for cell in row] for row in split]
    if len(cells[0]) + 1 == len(cells[-1]) and _is_text(cells[0]):  # R leaves the corner out
        cells[0].insert(0, "")
    if all(len(row) > 1 and not row[-1] for row in cells):  # a mark at the end of each line
        cells = [row[:-1] for row in cells]
    for number, row in zip(numbers, cells, strict=False):
        if len(row) != len(cells[0]):
            raise ValueError(
                f"{name}: line {number} has {len(row)} entries, line {numbers[0]} has {len(cells[0])}; "
                "every line needs the same number"
            )
    return cells, numbers


def to_numbers(cells: list[list[str]], lines: list[int], name: str) -> np.ndarray:
    """The cells as numbers; `lines` says where in the file each row stands."""
    value = np.empty((len(cells), len(cells[0]) if cells else 0))
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            try:
                value[i, j] = float("nan" if cell.lower() in _MISSING else cell)
            except ValueError:
                hint = "; write decimals with a point" if cell.replace(",", "").isdigit() else ""
                raise TypeError(
                    f"{name}: entry {at((i, j))} (line {lines[i]} of the file) is {cell!r}, expected a number{hint}"
                ) from None
    return value


def _is_text(cells: list[str]) -> bool:
    """Whether most cells are neither numbers nor missing: labels, then, and not numbers with a slip of the pen."""

    def text(cell: str) -> bool:
        try:
            float(cell)
        except ValueError:
            return cell.lower() not in _MISSING
        return False

    return 2 * sum(map(text, cells)) > len(cells)
