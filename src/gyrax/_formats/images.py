"""Images and surfaces through nibabel, with what they claim checked first."""

import base64
import gzip
import math
import zlib
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from .._extras import need
from .reading import bound, check_size, existing, reading

_CHUNK = 2**20
_DIMS = tuple(f"Dim{i}" for i in range(6))


def load_image(path: Path) -> Any:
    """An image of nibabel, whose data are not read yet, or a GIfTI with them."""
    nibabel = need("nibabel", "io")
    if path.name.lower().removesuffix(".gz").endswith(".gii"):
        with reading(path, "GIfTI"):
            _check_gifti(path)
    with reading(path, "an image", *own_errors(nibabel)):
        image = nibabel.load(path)
        for holder in image.file_map.values():  # the other half of a pair
            if holder.filename is not None and Path(holder.filename).exists():
                existing(holder.filename)
    return image


def data_of(image: Any, path: Path | str) -> np.ndarray:
    """The values of a volume or of a CIFTI matrix."""
    if isinstance(path, str):  # an image in memory
        return np.asarray(image.dataobj)
    nibabel = need("nibabel", "io")
    with reading(path, "an image", *own_errors(nibabel)):
        shape, dtype = tuple(map(int, image.shape)), image.get_data_dtype()
        if min(shape, default=0) < 0:
            raise ValueError(f"it claims the shape {shape}")
        check_size(path, math.prod(shape) * dtype.itemsize, f"an array of shape {shape}")
        return np.asarray(image.dataobj)


def own_errors(nibabel: Any) -> tuple[type[Exception], ...]:
    """What nibabel raises that are none of Python's errors."""
    spatial, wrapped = nibabel.spatialimages, nibabel.wrapstruct
    return (
        nibabel.filebasedimages.ImageFileError,
        spatial.HeaderDataError,
        spatial.HeaderTypeError,
        spatial.ImageDataError,
        wrapped.WrapStructError,
        nibabel.cifti2.Cifti2HeaderError,
        nibabel.casting.CastingError,
    )


class _Claims:
    """What the XML of a GIfTI claims: arrays in other files are refused, and sizes beyond the bound, also once unpacked."""

    def __init__(self, path: Path):
        self.path, self.left, self.packed, self.inside = path, bound(path), False, False
        self.text: list[str] = []

    def start(self, name: str, facts: dict[str, str]) -> None:
        self.inside = name == "Data"
        if name != "DataArray":
            return
        encoding = facts.get("Encoding", "")
        if "external" in encoding.lower():
            raise ValueError(f"an array lies in {facts.get('ExternalFileName')!r}, and other files are not read")
        self.packed = encoding == "GZipBase64Binary"
        dims = [int(facts[name]) for name in _DIMS if name in facts]
        if min(dims, default=0) < 0 or not 0 <= int(facts.get("Dimensionality", "0")) <= len(_DIMS):
            raise ValueError(f"an array claims the shape {tuple(dims)}")
        check_size(self.path, math.prod(dims) * 4, f"an array of shape {tuple(dims)}")

    def content(self, text: str) -> None:
        if self.inside and self.packed:
            self.text.append(text)

    def end(self, name: str) -> None:
        if name == "Data" and self.packed:
            size = len(zlib.decompressobj().decompress(base64.b64decode("".join(self.text)), self.left + 1))
            check_size(self.path, bound(self.path) - self.left + size, "its arrays")
            self.left -= size
        self.inside, self.text = False, []

    def entity(self, *_: Any) -> None:
        raise ValueError("it declares entities, which may unfold to any size")


def _check_gifti(path: Path) -> None:
    claims, parser = _Claims(path), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = claims.start, claims.end
    parser.CharacterDataHandler, parser.EntityDeclHandler = claims.content, claims.entity
    size, opener = 0, gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            check_size(path, size, "what is in it")
            parser.Parse(chunk)
    parser.Parse(b"", True)
