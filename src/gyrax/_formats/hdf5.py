"""HDF5 files, as far as they are safe to read, and the connectomes of The Virtual Brain and TVB-O in them."""

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy import sparse

from .._extras import need
from .fields import Part, closest, label_tuple, to_part
from .reading import check_size, inside, reading, size_of

SUFFIXES = (".h5", ".hdf5")
_WEIGHTS, _LENGTHS = ("weight", "weights"), ("length", "lengths", "tract_lengths", "tractLength")
#: An object of HDF5 takes more bytes than that: whoever meets more objects goes in circles.
_LEAST = 32
#: How a heap begins.
_HEAP = b"GCOL\x01\x00\x00\x00"
#: How many texts are read at a time.
_TEXTS = 256


class Store:
    """An open HDF5 file: nothing is read from other files, and nothing beyond the bound.

    Args:
        file: of h5py.
        path: where it is.
    """

    def __init__(self, file: Any, path: Path):
        self.file, self.path, self._read, self._met = file, path, 0, 0

    def child(self, group: Any, name: str) -> Any:
        """What a group has under a name; links to other files are refused."""
        h5py = need("h5py", "io")
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            raise ValueError(f"{self.path}: {name!r} is a link to another file, which is not read")
        return self.met(group[name])

    def met(self, node: Any) -> Any:
        """An object that is met, unless that are more than the file can have."""
        self._met += 1
        if self._met > 1000 + size_of(self.path) // _LEAST:
            raise ValueError(f"{self.path}: its groups lead in circles")
        return node

    def children(self, group: Any) -> Iterator[tuple[str, Any]]:
        """Names and objects of a group."""
        for name in group:
            yield name, self.child(group, name)

    def check(self, group: Any) -> None:
        """All datasets below a group, without reading them, for another library to read."""
        for _, node in self.children(group):
            if hasattr(node, "items"):
                self.check(node)
            else:
                self._claim(node)

    def _claim(self, node: Any) -> int:
        """How many entries a dataset has."""
        if node.is_virtual or node.external:
            raise ValueError(f"{self.path}: {node.name!r} lies in other files, which are not read")
        size = math.prod(node.shape or ())
        self._read += size * node.dtype.itemsize
        check_size(self.path, self._read, "what is in it")
        return size

    def array(self, node: Any) -> np.ndarray:
        """A dataset: numbers, or text as objects."""
        if node.shape is None:  # as h5py calls what holds nothing
            return np.empty(0)
        size = self._claim(node)
        if need("h5py", "io").check_string_dtype(node.dtype) is None or node.ndim != 1:
            return np.asarray(node[()])
        texts: list[str] = []
        for i in range(0, size, _TEXTS):  # many may be one long text in the file
            texts += [text.decode("utf-8") if isinstance(text, bytes) else text for text in node[i : i + _TEXTS]]
            self._read += sum(map(len, texts[i:]))
            check_size(self.path, self._read, "what is in it")
        return np.array(texts, object)


@contextmanager
def opened(path: Path, kind: str) -> Iterator[Store]:
    """A file of HDF5, closed again."""
    h5py = need("h5py", "io")
    with reading(path, kind):
        _check_heaps(path)
        with h5py.File(path, "r") as file:
            yield Store(file, path)


def _check_heaps(path: Path) -> None:
    """Texts lie in heaps, one after the other; where one of no length is said to follow, the library never ends."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        heap = -1
        while (heap := data.find(_HEAP, heap + 1)) >= 0:
            at, end = heap + 16, heap + int.from_bytes(data[heap + 8 : heap + 16], "little")
            while at + 16 <= min(end, len(data)):
                index, size = struct.unpack_from("<H6xQ", data, at)
                at += 16 + -(-size // 8) * 8 if index else size
                if not size and not index:
                    raise ValueError("a heap of texts in it is damaged")


def densify(matrix: Any, path: Path) -> np.ndarray:
    """A sparse matrix from a file as an array. scipy writes where indices say, wherever that is, so they are checked first."""
    entries = math.prod(matrix.shape) + sum(matrix.shape)  # scipy counts rows and columns also where there is no entry
    check_size(path, 8 * entries, f"a matrix of shape {matrix.shape}")
    if matrix.format in ("csc", "csr"):
        minor = matrix.shape[0 if matrix.format == "csc" else 1]
        with reading(path, "a sparse matrix"):
            _check_parts(matrix.data, matrix.indices, matrix.indptr, minor)
    return matrix.toarray()


def compressed(kind: type, data: np.ndarray, indices: np.ndarray, starts: np.ndarray, shape: tuple[int, int]) -> Any:
    """A compressed sparse matrix whose parts are what they are called."""
    _check_parts(data, indices, starts, shape[0 if kind is sparse.csc_array else 1])
    return kind((data, indices.astype(np.int64), starts.astype(np.int64)), shape)


def _check_parts(data: np.ndarray, indices: np.ndarray, starts: np.ndarray, minor: int) -> None:
    """scipy's own check passes over starts that fall where the last is 0."""
    for part in (indices, starts):
        if part.ndim != 1 or part.dtype.kind not in "iu":
            raise ValueError(f"indices of a sparse matrix are whole numbers, got {part.dtype} of shape {part.shape}")
    if data.shape != indices.shape or not len(starts) or starts[0] != 0 or starts[-1] > len(indices):
        raise ValueError(f"a sparse matrix has {data.shape} values, and {indices.shape} indices")
    if (starts[1:] < starts[:-1]).any() or indices.min(initial=0) < 0 or (len(indices) and indices.max() >= minor):
        raise ValueError("a sparse matrix has indices beyond its shape")


def read_hdf5(path: Path, given: Mapping[str, str | None] = {}, labelled: bool = False) -> dict[str, Part]:
    """The fields of a connectome in an HDF5 file of The Virtual Brain or TVB-O."""
    with opened(path, "HDF5") as store:
        if "edges" in store.file:
            return _tvbo(store, given, labelled)
        fields = {"weights": "weights", "lengths": "tract_lengths", "labels": "region_labels", "centres": "centres"}
        fields |= {field: name for field, name in given.items() if name is not None}
        names = list(store.file)
        if fields["weights"] not in names:
            raise ValueError(
                f"{path} has no {fields['weights']!r}, nor 'edges': it has {', '.join(names) or 'nothing'}"
            )
        parts = {}
        for field, name in fields.items():
            if name not in names and given.get(field) is not None:
                raise ValueError(f"{path} has no {name!r}: {closest(name, names)}")
            if name in names and (value := store.array(store.child(store.file, name))).size:
                parts[field] = to_part(field, _texts(value) if field == "labels" else value, f"{field} in {path}")
        return parts


def _texts(value: np.ndarray) -> list[str]:
    return [text.decode("utf-8") if isinstance(text, bytes) else text for text in value.ravel().tolist()]


def _tvbo(store: Store, given: Mapping[str, str | None], labelled: bool) -> dict[str, Part]:
    """TVB-O keeps a group for each matrix, and names of the nodes in a sidecar or beside the matrix."""
    edges, parts = store.child(store.file, "edges"), {}
    for field, common in (("weights", _WEIGHTS), ("lengths", _LENGTHS)):
        asked = given.get(field)
        names = [name for name in edges if name in common] if asked is None else [asked]
        if len(names) > 1:
            raise ValueError(f"{store.path}: {' and '.join(map(repr, names))} may both be {field}: say which, {field}=")
        if (asked is not None and asked not in edges) or (field == "weights" and not names):
            raise ValueError(
                f"{store.path} has no {asked or 'weight'!r} in 'edges': {closest(asked or 'weight', edges)}"
            )
        for name in names:
            group = store.child(edges, name)
            parts[field] = to_part(field, _matrix(store, group), f"{field} ({name!r} in {store.path})")
            if field == "lengths" and str(group.attrs.get("unit", "mm")) != "mm":
                raise ValueError(f"{store.path}: {name!r} is in {group.attrs['unit']!r}, expected mm")
            if "_dim_row_labels" in group:
                labels = _texts(store.array(store.child(group, "_dim_row_labels")))
                parts[field] = parts[field]._replace(labels=label_tuple(labels, f"labels of {name!r} in {store.path}"))
    nodes = store.child(store.file, "nodes") if "nodes" in store.file else {}
    if "coordinates" in nodes:
        parts["centres"] = to_part(
            "centres", store.array(store.child(nodes, "coordinates")), f"centres in {store.path}"
        )
    return parts | _sidecar(store, labelled or any(part.labels for part in parts.values()))


def _matrix(store: Store, group: Any) -> np.ndarray:
    kind, parts = str(group.attrs.get("format", "dense")), dict(store.children(group))
    wanted = {"dense": ("data",), "csr": ("data", "indices", "indptr"), "coo": ("data", "row", "col")}.get(kind)
    if wanted is None or not all(name in parts for name in wanted):
        raise ValueError(f"{store.path}: {group.name!r} says format {kind!r}, and has {', '.join(parts) or 'nothing'}")
    data, *places = (store.array(parts[name]) for name in wanted)
    if kind == "dense":
        return data
    rows, columns = (int(size) for size in np.ravel(group.attrs["shape"]))
    if kind == "coo":
        return densify(sparse.coo_array((data, tuple(places)), (rows, columns)), store.path)
    indices, starts = places
    return densify(compressed(sparse.csr_array, data, indices, starts, (rows, columns)), store.path)


def _sidecar(store: Store, labelled: bool) -> dict[str, Part]:
    """Labels from the YAML or JSON file that TVB-O writes beside."""
    named = store.file.attrs.get("sidecar_file") or ""
    named = named.decode("utf-8") if isinstance(named, bytes) else str(named)
    near = [store.path.with_suffix(end) for end in (".yaml", ".yml", ".json")]
    file = next((f for f in ([store.path.with_name(Path(named).name)] if named else []) + near if f.is_file()), None)
    if file is None:
        if named and not labelled:
            raise FileNotFoundError(f"{store.path} has its labels in {named!r}, which is not beside it: pass labels=")
        return {}
    inside(file, store.path.resolve().parent)
    check_size(file, size_of(file), "it")
    with reading(file, "YAML", yaml.YAMLError):
        facts = yaml.load(file.read_text("utf-8-sig"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    nodes = facts.get("nodes") if isinstance(facts, dict) else None
    if not nodes:  # TVB-O leaves nodes without names out
        return {}
    if not isinstance(nodes, list) or not all(isinstance(node, dict) and "label" in node for node in nodes):
        raise ValueError(f"{file}: expected a list of 'nodes' with a 'label' each")
    return {"labels": Part(None, label_tuple([str(node["label"]) for node in nodes], f"nodes in {file}"), f"{file}")}
