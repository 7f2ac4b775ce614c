"""The matrices of BIDS derivatives: relationship matrices (BEP017) and networks of computational models (BEP034)."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .fields import Labels, Part, at, check_square, closest, label_tuple
from .reading import inside, reading
from .tables import candidates, read_part
from .text import cells_of, read_lines

_RELMAT = ("_relmat.dense.tsv", "_relmat.tsv")
_MM = {"": 1.0, "mm": 1.0, "cm": 10.0, "m": 1000.0}


_WEIGHTS = ("streamlinecount", "streamlines", "count", "weights", "weight", "density", "streamlinedensity", "sift2")
_LENGTHS = ("tractlength", "tractlengths", "length", "lengths", "meanlength", "distance", "distances", "fiberlength")


def is_bids(path: Path) -> bool:
    """Whether a path is one of those that `read_bids_connectivity` takes."""
    if not path.is_dir():
        network = path.parent.name == "net" and path.name.endswith(("_weights.tsv", "_distances.tsv"))
        return network or path.name.endswith((*_RELMAT, "_relmat.sparse.tsv"))
    marks = ("*_relmat*.tsv", "net", "dataset_description.json", "sub-*/", "ses-*/")
    ours = any(any(path.glob(mark)) for mark in marks) or (path.name == "net" and any(path.glob("*_weights.tsv")))
    return ours and not candidates(path)["weights"]


def read_parts(
    path: Path, weights: str | None = None, lengths: str | None = None, labelled: bool = False
) -> dict[str, Part]:
    """The fields of a connectome; what names no labels is no trouble if they are known without (`labelled`)."""
    with reading(path, "BIDS derivatives"):
        return _parts(path, weights, lengths, labelled)


def _parts(path: Path, weights: str | None, lengths: str | None, labelled: bool) -> dict[str, Part]:
    if not path.is_dir():
        if weights or lengths:
            raise ValueError(f"{path} is one file: to choose a measure by name, give its folder")
        if path.parent.name == "net" and path.name.endswith("_weights.tsv"):
            return _network(path, labelled)
        return {"weights": read_matrix("weights", path, labelled)}
    if relmats := sorted(file for file in path.iterdir() if file.name.endswith(_RELMAT)):
        files = _choose(path, relmats, weights, lengths)
        return {field: read_matrix(field, file, labelled) for field, file in files.items()}
    net = path if path.name == "net" else path / "net"
    networks = sorted(net.glob("*_weights.tsv"))
    if len(networks) == 1:
        return _network(networks[0], labelled)
    if networks:
        raise ValueError(f"{net} has both {networks[0].name} and {networks[1].name}: give the file of one of them")
    below = sorted([*path.rglob("*_relmat.dense.tsv"), *path.rglob("*_relmat.tsv"), *path.rglob("net/*_weights.tsv")])
    hint = f": give the folder or file of one subject, such as {below[0]}" if below else ""
    raise FileNotFoundError(f"{path} has neither *_relmat.tsv nor net/*_weights.tsv{hint}")


def read_matrix(field: str, file: Path, labelled: bool) -> Part:
    """A matrix, checked against its sidecar, with lengths in mm and the labels of its regions."""
    with reading(file, "BIDS derivatives"):
        return _matrix(field, inside(file, _root(file)), labelled)


def _matrix(field: str, file: Path, labelled: bool) -> Part:
    if file.name.endswith("_relmat.sparse.tsv"):
        raise ValueError(f"{file}: sparse matrices are not read: write it dense, as *_relmat.dense.tsv")
    if not file.name.endswith(_RELMAT):
        return _network_matrix(field, file)
    name, facts = f"{field} in {file}", _sidecar(file)
    for key in ("RelationshipMeasure", "Directed"):
        if key not in facts:
            raise ValueError(f"{file}: its sidecar has no {key!r}, which BEP017 requires")
    if str(facts.get("StorageFormat", "Full")).lower() not in ("full", "dense"):
        raise ValueError(f"{file}: StorageFormat is {facts['StorageFormat']!r}, expected 'Full'")
    part = read_part(field, file)
    check_square(part)
    value = part.value * _unit(facts.get("MeasureUnits"), file) if field == "lengths" else part.value
    if facts.get("ValidDiagonal") is False:
        np.fill_diagonal(value, 0)
    uneven = np.argwhere(~np.isclose(value, value.T, rtol=1e-5, atol=0, equal_nan=True))
    if facts["Directed"] is False and len(uneven):
        raise ValueError(
            f"{name}: Directed is false, but entry {at(uneven[0])} is {value[tuple(uneven[0])]:g} "
            f"and {at(uneven[0][::-1])} is {value[tuple(uneven[0][::-1])]:g}"
        )
    labels = part.labels
    if labels is None:
        try:
            labels = _node_labels(file, facts)
        except FileNotFoundError:
            if not labelled:
                raise
    if labels is not None and len(labels) != len(value):
        raise ValueError(f"{name} has {len(value)} regions, but {len(labels)} are named by the files it refers to")
    return Part(value, labels, name)


def _choose(folder: Path, files: Sequence[Path], weights: str | None, lengths: str | None) -> dict[str, Path]:
    by_measure: dict[str, list[Path]] = {}
    for file in files:
        by_measure.setdefault(_measure(file), []).append(file)
    common = {name: name.lower().replace("_", "") for name in by_measure}
    long = [name for name in common if common[name] in _LENGTHS]
    strong = [name for name in common if common[name] in _WEIGHTS]
    guesses = {"weights": strong or [name for name in by_measure if name not in long], "lengths": long}
    chosen = {}
    for field, asked in (("weights", weights), ("lengths", lengths)):
        if asked is not None and asked not in by_measure:
            raise ValueError(f"{folder} has no measure {asked!r}: {closest(asked, by_measure)}")
        names = guesses[field] if asked is None else [asked]
        if len(names) > 1 or (field == "weights" and not names):
            raise ValueError(
                f"{folder}: the {field} may be any of {', '.join(map(repr, names or by_measure))}: "
                f"say which with gyrax.io.read_bids_connectivity(path, {field}=...)"
            )
        for name in names:
            if len(by_measure[name]) > 1:
                one, two, *_ = by_measure[name]
                raise ValueError(f"{folder} has both {one.name} and {two.name}: give the file of one of them")
            chosen[field] = by_measure[name][0]
    return chosen


def _measure(file: Path) -> str:
    named = [part.removeprefix("meas-") for part in file.name.split("_") if part.startswith("meas-")]
    return named[0] if named else str(_sidecar(file).get("RelationshipMeasure", "unnamed"))


def _applicable(file: Path, suffix: str) -> Iterator[list[Path]]:
    """Files of a suffix that apply to a file by the inheritance principle: a list for each folder, the nearest first."""
    root = _root(file)
    entities = set(file.name.split("_")[:-1])
    for folder in (p for p in file.parents if p == root or root in p.parents):
        found = [p for p in sorted(folder.glob(f"*{suffix}")) if p.name.split("_")[-1] == suffix]
        yield [p for p in found if set(p.name.split("_")[:-1]) <= entities]


def _root(file: Path) -> Path:
    """The folder of the dataset that a file belongs to, which nothing it names may leave; else its own, or that of `net`."""
    near = file.parent.parent if file.parent.name == "net" else file.parent
    return next((p for p in file.parents if (p / "dataset_description.json").is_file()), near)


def _sidecar(file: Path) -> dict[str, Any]:
    """What is said of a relationship matrix; the nearest file has the last word."""
    facts, missing = {}, True
    for found in _applicable(file, "relmat.json"):
        if len(found) > 1:
            raise ValueError(f"{found[0]} and {found[1].name} both apply to {file}: BIDS allows one in each folder")
        for sidecar in found:
            facts, missing = _json(inside(sidecar, _root(file))) | facts, False
    if missing:
        raise FileNotFoundError(
            f"{file} has no sidecar {file.name.split('_relmat')[0]}_relmat.json, which BEP017 requires; "
            "gyrax.io.read_matrix reads a bare table"
        )
    return facts


def _json(file: Path) -> dict[str, Any]:
    with reading(file, "JSON"):
        facts = json.loads(file.read_text("utf-8-sig"))
    if not isinstance(facts, dict):
        raise ValueError(f"{file}: expected a JSON object with names and values")
    return facts


def _node_labels(file: Path, facts: dict[str, Any]) -> Labels | None:
    """Labels by way of the table of node indices, or of the one atlas; None if nothing names any."""
    named, atlases = facts.get("NodeIndicesFile"), facts.get("NodeFiles") or []
    atlases = atlases if isinstance(atlases, list) else [atlases]
    for link in [*atlases, "-" if named is None else named]:
        if not isinstance(link, str) or not link:
            raise ValueError(f"the sidecar of {file} names {link!r}, expected the path of a file")
    if named is None:
        found = next((found for found in _applicable(file, "nodeindices.tsv") if found), [])
        if len(found) > 1:
            raise ValueError(f"{found[0]} and {found[1].name} both apply to {file}: name one as NodeIndicesFile")
        index_file = inside(found[0], _root(file)) if found else None
    else:
        index_file = _resolve(named, file)
    if index_file is None:
        if len(atlases) > 1:
            raise ValueError(f"{file}: NodeFiles names {len(atlases)} files, which needs a *_nodeindices.tsv")
        return label_tuple(_names(_resolve(atlases[0], file)).values(), str(atlases[0])) if atlases else None
    table = _columns(index_file, "matrix_index")
    order = table["matrix_index"]
    place = {index: i for i, index in enumerate(order)}
    if sorted(order) != sorted(map(str, range(len(order)))):
        raise ValueError(f"{index_file}: matrix_index is not 0 to {len(order) - 1}, each once")
    labels = table.get("label") or table.get("name") or _looked_up(table, index_file, atlases, file)
    return label_tuple([labels[place[str(i)]] for i in range(len(order))], str(index_file))


def _looked_up(table: dict[str, list[str]], index_file: Path, atlases: list[str], file: Path) -> list[str]:
    if "node_index" not in table or len(atlases) != 1:
        raise ValueError(f"{index_file}: no column 'label', nor 'node_index' into one file that NodeFiles names")
    names = _names(_resolve(atlases[0], file))
    unknown = [index for index in table["node_index"] if index not in names]
    if unknown:
        raise ValueError(f"{index_file}: node_index {unknown[0]} is not in {atlases[0]}")
    return [names[index] for index in table["node_index"]]


def _names(atlas: Path) -> dict[str, str]:
    """Names by index from the lookup table of an atlas."""
    table = _columns(atlas, "index")
    names = table.get("name") or table.get("label")
    if names is None:
        raise ValueError(f"{atlas}: no column 'name'")
    return dict(zip(table["index"], names, strict=True))


def _resolve(link: str, file: Path) -> Path:
    """The table that a sidecar names: by a URI within the dataset, or from the folder of the file it describes."""
    root = _root(file)
    target = root / link.removeprefix("bids::") if link.startswith("bids::") else file.parent / link
    target = target.with_name(target.name.partition(".")[0] + ".tsv")  # an image has its names in a table beside it
    if not target.is_file():
        raise FileNotFoundError(f"the sidecar of {file} names {link!r}, but there is no {target}: pass labels=")
    return inside(target, root)


def _columns(file: Path, needed: str) -> dict[str, list[str]]:
    (header, *rows), _ = cells_of(read_lines(file, str(file)), str(file))
    if needed not in header:
        raise ValueError(f"{file}: no column {needed!r}, only {header}")
    return {column: [row[i] for row in rows] for i, column in enumerate(header)}


def _unit(unit: Any, file: Path) -> float:
    if str(unit or "") not in _MM:
        raise ValueError(f"{file}: its unit is {unit!r}, expected mm, cm or m")
    return _MM[str(unit or "")]


def _network(file: Path, labelled: bool) -> dict[str, Part]:
    """The network graph whose weights are in a file."""
    root = _root(file)
    parts = {"weights": _network_matrix("weights", file)}
    distances = file.with_name(file.name.removesuffix("weights.tsv") + "distances.tsv")
    others = sorted(file.parent.glob("*_distances.tsv"))
    if distances in others:
        parts["lengths"] = _network_matrix("lengths", distances)
        if _coordinates(distances) != _coordinates(file):
            raise ValueError(f"the sidecars of {distances} and {file.name} name other regions in CoordsRows")
    elif others:
        raise ValueError(f"{file.parent} has {others[0].name}, but no {distances.name}: rename it if it is that")
    for link in _coordinates(file):
        table = (file.parent / link.replace("\\", "/")).with_suffix(".tsv")
        field = {"labels": "labels", "nodes": "centres"}.get(table.stem.rpartition("_")[2])
        if field is None or (field == "labels" and labelled and not table.is_file()):
            continue
        if not table.is_file():
            raise FileNotFoundError(f"{file.with_suffix('.json')} names {link!r}, but there is no {table}")
        name = f"{field} in {inside(table, root)}"
        if field == "labels":
            rows = [line.split("\t")[0] for line in read_lines(table, name) if line.strip()]
            parts["labels"] = Part(None, label_tuple(rows, name), name)
        else:
            nodes, units = read_part("centres", table), table.with_suffix(".json")
            scale = _unit(_json(inside(units, root)).get("Units"), units) if units.is_file() else 1.0
            parts["centres"] = nodes._replace(value=nodes.value * scale)
    return parts


def _network_matrix(field: str, file: Path) -> Part:
    part, facts = read_part(field, inside(file, _root(file))), _network_sidecar(file)
    size = facts["NumberOfRows"], facts["NumberOfColumns"]
    if part.value.shape != size:
        raise ValueError(f"{part.name} has shape {part.value.shape}, but its sidecar says {size}")
    return part._replace(value=part.value * _unit(facts.get("Units"), file)) if field == "lengths" else part


def _network_sidecar(file: Path) -> dict[str, Any]:
    sidecar = file.with_suffix(".json")
    if not sidecar.is_file():
        raise FileNotFoundError(f"{file} has no sidecar {sidecar.name}, which BEP034 requires")
    facts = _json(inside(sidecar, _root(file)))
    for key in ("NumberOfRows", "NumberOfColumns", "CoordsRows", "CoordsColumns"):
        if key not in facts:
            raise ValueError(f"{sidecar} has no {key!r}, which BEP034 requires")
    return facts


def _coordinates(file: Path) -> list[str]:
    facts = _network_sidecar(file)
    rows, columns = ([x] if isinstance(x, str) else list(x) for x in (facts["CoordsRows"], facts["CoordsColumns"]))
    if sorted(rows) != sorted(columns):
        raise ValueError(
            f"{file.with_suffix('.json')}: CoordsRows and CoordsColumns name other files: {rows}, {columns}"
        )
    return sorted(rows)
