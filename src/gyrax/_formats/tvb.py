"""The zips of The Virtual Brain."""

import bz2
import difflib
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from .fields import Part, label_tuple
from .reading import check_members, reading, unpack
from .text import cells_of, decode, parse, to_numbers

# a folder or a subject may stand in front: connectivity_76/weights.txt, sub-01_weights.txt
_MEMBERS = {"weights": ("weights",), "lengths": ("tract_lengths", "lengths"), "centres": ("centres", "centers")}


def read_zip(path: Path) -> dict[str, Part]:
    with reading(path, ".zip"), zipfile.ZipFile(path) as archive:
        check_members(archive, path, text=True)
        members = {
            name: PurePosixPath(name.lower().removesuffix(".bz2")).stem
            for name in archive.namelist()
            if not name.endswith("/") and not name.startswith("__MACOSX")
        }
        found = _find_members(members, path)
        texts = {name: _text(archive, name, path) for name in found.values()}
    parts = {}
    for field, member in found.items():
        name, lines = f"{field} in {path / member}", texts[member].splitlines()
        if field != "weights" and not texts[member].strip():
            warnings.warn(f"{name} are not known: that file is empty", stacklevel=4)
            continue
        parts[field] = _centres(lines, name) if field == "centres" else Part(parse(lines, name)[0], None, name)
    return parts


def _find_members(members: Mapping[str, str], path: Path) -> dict[str, str]:
    found = {}
    for field, names in _MEMBERS.items():
        ends = tuple(f"_{name}" for name in names)
        fits = [member for member, stem in members.items() if stem in names or stem.endswith(ends)]
        if len(fits) > 1:
            raise ValueError(f"{path} has both {fits[0]} and {fits[1]}: keep one of them")
        if fits:
            found[field] = fits[0]
            continue
        near = [stem for stem in members.values() if difflib.get_close_matches(stem, names, n=1, cutoff=0.8)]
        if near:
            raise ValueError(f"{path} has {near[0]!r} but no {names[0]!r}: rename it to {names[0]!r} if it is that")
    if "weights" not in found:
        raise FileNotFoundError(f"{path} has no 'weights', only {sorted(members)}")
    return found


def _text(archive: zipfile.ZipFile, member: str, path: Path) -> str:
    with reading(path / member, "text"), archive.open(member) as packed:
        if member.lower().endswith(".bz2"):
            with bz2.open(packed) as inner:
                return decode(unpack(inner, path), str(path / member))
        return decode(unpack(packed, path), str(path / member))


def _centres(lines: list[str], name: str) -> Part:
    """Lines of `label x y z`, further columns ignored as The Virtual Brain does, or of `x y z`."""
    cells, numbers = cells_of(lines, name)
    if len(cells[0]) < 3:
        raise ValueError(f"{name}: line {numbers[0]} has {len(cells[0])} entries, expected: label x y z")
    first = len(cells[0]) > 3
    value = to_numbers([row[first : first + 3] for row in cells], numbers, name)
    return Part(value, label_tuple([row[0] for row in cells], name) if first else None, name)
