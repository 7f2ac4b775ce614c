"""Tables of text: lines to cells, cells to numbers and labels."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .fields import WrongKindError, at
from .reading import read_bytes, reading

_MISSING = ("", "na", "n/a", "nan", "null", "none")
#: A cell in quotes, where a quote is doubled or has a backslash before it, or one without; and what follows it.
_CELLS = {
    mark: re.compile(rf'\s*(?:"((?:[^"\\]|\\.|"")*)"\s*|(?!\s*")([^{mark}]*))({mark}|$)') for mark in (";", ",")
} | {
    "\t": re.compile(r' *(?:"((?:[^"\\]|\\.|"")*)" *|(?! *")([^\t]*))(\t|$)'),
    None: re.compile(r'\s*(?:"((?:[^"\\]|\\.|"")*)"|(?!")(\S+))(\s+|$)'),
}


def read_lines(path: Path, name: str) -> list[str]:
    """The lines of a text file, which may be compressed as `.bz2`."""
    with reading(path, ".bz2" if path.suffix.lower() == ".bz2" else "text"):
        data = read_bytes(path)
    return decode(data, name).splitlines()


def decode(data: bytes, name: str) -> str:
    """UTF-8, with or without its mark."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{name}: not text in UTF-8; save it as UTF-8, or as .npy") from None


class Table(NamedTuple):
    """Lines of one number of cells each, which are cut when they are asked for: as cells they take ten times the memory.

    Attributes:
        texts: the lines that have anything.
        numbers: where in the file they stand.
        mark: between cells; None for spaces.
        width: cells a line.
        ends: whether every line ends with a mark.
        corner: whether the first line leaves its first cell out, as R writes it.
        name: what to call the table in errors.
    """

    texts: list[str]
    numbers: list[int]
    mark: str | None
    width: int
    ends: bool
    corner: bool
    name: str

    def row(self, i: int) -> list[str]:
        """The cells of a line."""
        cells = cut(self.texts[i], self.mark, self.numbers[i], self.name)
        cells = cells[: len(cells) - self.ends]
        return ["", *cells] if self.corner and i == 0 else cells


def table_of(lines: list[str], name: str) -> Table:
    """Lines of text as a table.

    Raises:
        ValueError: there is none, or lines differ in length.
    """
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    top = next((i for i, (_, line) in enumerate(numbered) if not line.startswith("#")), len(numbered))
    numbers, texts = [number for number, _ in numbered[top:]], [line for _, line in numbered[top:]]
    if not texts:  # MRtrix and numpy write comments on top
        raise ValueError(f"{name}: the file is empty")
    bare = re.sub(r'"[^"]*"', "", texts[0])
    mark = next((mark for mark in "\t;," if mark in bare), None)
    widths, ends = [], True
    for number, text in zip(numbers, texts, strict=True):
        cells = cut(text, mark, number, name) if '"' in text else text.split(mark)
        widths.append(len(cells))
        ends = ends and len(cells) > 1 and not cells[-1].strip()
    first = cut(texts[0], mark, numbers[0], name)
    corner = widths[0] + 1 == widths[-1] and ('"' in texts[0] or is_text(first))
    widths[0] += corner
    for number, width in zip(numbers, widths, strict=True):
        if width != widths[0]:
            hint = "" if mark else "; a name with spaces needs quotes, or tabs between cells"
            raise ValueError(
                f"{name}: line {number} has {width} entries, line {numbers[0]} has {widths[0]}; "
                f"every line needs the same number{hint}"
            )
    return Table(texts, numbers, mark, widths[0] - ends, ends, corner, name)


def cut(text: str, mark: str | None, number: int, name: str) -> list[str]:
    """The cells of one line, without quotes."""
    if '"' not in text:
        return [cell.strip() for cell in text.split(mark)]
    pattern, cells, start, text = _CELLS[mark], [], 0, text.strip(" " if mark else None)
    while True:
        found = pattern.match(text, start)
        if found is None:
            raise ValueError(f"{name}: line {number} has a quote that is not closed before the next cell")
        quoted, plain, follows = found.groups()
        cells.append((plain if quoted is None else re.sub(r'\\(.)|"(")', r"\1\2", quoted)).strip())
        start = found.end()
        if not follows:
            return cells


def cells_of(lines: list[str], name: str) -> tuple[list[list[str]], list[int]]:
    """The cells of each line that has any, all lines of one length, and the number of each line in the file."""
    table = table_of(lines, name)
    return [table.row(i) for i in range(len(table.texts))], table.numbers


def parse(lines: list[str], name: str) -> tuple[np.ndarray, list[str] | None, list[str] | None]:
    """A table of text to its numbers, and its first column and first line where they are labels."""
    table = table_of(lines, name)
    first, side = table.row(0), [table.row(i)[0] for i in range(len(table.texts))]
    corner = not side[0] and len(side) > 1
    # 0, 1, 2, ... in the first line look like numbers; pandas writes them so around an unlabelled table
    counted = (
        first == side
        and all(c.isdecimal() and len(c) < 10 for c in side[1:])
        and sorted(set(side[1:]), key=int) == side[1:]
    )
    columns = rows = None
    if is_text(first[corner:]) or (corner and counted):
        columns, side = first, side[1:]
    if side and table.width > 1 and (is_text(side) or (corner and columns)):
        rows, columns = side, columns and columns[1:]
    top, left = columns is not None, rows is not None
    value = np.empty((len(table.texts) - top, table.width - left))
    for i in range(len(value)):
        value[i] = floats(table.row(i + top)[left:], i, table.numbers[i + top], name)
    return value, rows, columns


def to_numbers(cells: list[list[str]], lines: list[int], name: str) -> np.ndarray:
    """The cells as numbers; `lines` says where in the file each row stands."""
    value = np.empty((len(cells), len(cells[0]) if cells else 0))
    for i, row in enumerate(cells):
        value[i] = floats(row, i, lines[i], name)
    return value


def floats(row: list[str], i: int, line: int, name: str) -> list[float]:
    """The cells of row `i`, which is a line of the file, as numbers."""
    try:
        values = list(map(float, row))
    except ValueError:
        return [_float(cell, (i, j), line, name) for j, cell in enumerate(row)]
    if any("_" in cell for cell in row):  # Python reads 1_0 as 10
        return [_float(cell, (i, j), line, name) for j, cell in enumerate(row)]
    return values


def _float(cell: str, index: tuple[int, int], line: int, name: str) -> float:
    if cell.lower() in _MISSING:
        return float("nan")
    if not is_number(cell):
        hint = "; write decimals with a point" if cell.replace(",", "").isdigit() else ""
        raise WrongKindError(
            f"{name}: entry {at(index)} (line {line} of the file) is {cell!r}, expected a number{hint}"
        )
    return float(cell)


def is_number(cell: str) -> bool:
    """Whether a cell is a number as files write it: 1_0 is none, though Python takes it for 10."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def is_text(cells: list[str]) -> bool:
    """Whether most cells are neither numbers nor missing: labels, then, and not numbers with a slip of the pen."""
    return 2 * sum(not is_number(cell) and cell.lower() not in _MISSING for cell in cells) > len(cells)
