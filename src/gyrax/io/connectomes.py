"""Connectomes and other matrices of regions, from the formats of the field."""

import os
from typing import Literal

import numpy as np
from jaxtyping import Float

from .._formats import bids
from .._formats.fields import check_square, check_values, mirrored, of_files
from .._formats.hdf5 import read_hdf5 as read_hdf5_fields
from .._formats.matlab import read_mat_fields
from .._formats.reading import existing
from .._formats.tables import read_part
from .._formats.tvb import read_zip
from ..anatomy.connectome import Connectome
from ..labelled import LabelledArray, with_names


def read_tvb_zip(path: str | os.PathLike[str]) -> Connectome:
    r"""Read a connectivity of The Virtual Brain (Sanz Leon et al. 2013): a zip of text files, plain or bz2-compressed.

    `weights.txt` is needed; `tract_lengths.txt` (mm) and `centres.txt`, whose lines are `label x y z`, are read if there.
    Rows of both matrices are targets, as here: The Virtual Brain weighs what `i` hears from `j` by `weights[i, j]`.
    What a `Connectome` has no place for is left out: areas, hemispheres, cortical and average_orientations.
    `Connectome.load` reads the same.

    Raises:
        FileNotFoundError: there is no such file, or no weights in it.
        ValueError, TypeError: no zip, a field that it holds twice, or as `Connectome`, with the name of the member.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp()) / "two.zip"
        >>> import zipfile
        >>> with zipfile.ZipFile(file, "w") as archive:
        ...     archive.writestr("weights.txt", "0 2\n1 0\n")
        ...     archive.writestr("centres.txt", "V1 -10 5 0\nV2 12 6 1\n")
        >>> read_tvb_zip(file)
        Connectome(2 regions, density 1, weights 1 to 2, directed, centres)
    """
    return Connectome(**of_files(read_zip(existing(path))))


def read_mat(
    path: str | os.PathLike[str],
    weights: str | None = None,
    lengths: str | None = None,
    labels: str | None = None,
    centres: str | None = None,
) -> Connectome:
    """Read a connectome from variables of a MATLAB file, up to version 7.2 or, with `gyrax[io]`, 7.3.

    Rows are targets: transpose in MATLAB what is stored the other way round. Labels are a cell array of text or a char
    matrix (scipy cannot read MATLAB's string arrays; `cellstr` makes them cells). Fields of structures are named with
    dots: `"subject.SC"`.

    Args:
        path: the file. `Connectome.load` reads it too, with all names guessed.
        weights: name of the variable. By default the one that is called, in any case and with or without underscores,
            weights, SC, connectivity, connectome, ...
        lengths: likewise tract_lengths, lengths, dist, distances, ...
        labels: likewise labels, region_labels, roi_names, ...
        centres: likewise centres, centers, coords, ...

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no such variable, or none or several that may be meant, with all that the file has.
        ImportError: version 7.3, and h5py is not installed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scipy.io import savemat
        >>> file = Path(tempfile.mkdtemp()) / "sub-01.mat"
        >>> savemat(file, {"SC": [[0.0, 2.0], [1.0, 0.0]], "dist": [[0.0, 40.0], [40.0, 0.0]]})
        >>> read_mat(file)
        Connectome(2 regions, density 1, weights 1 to 2, directed, lengths 40 to 40 mm)
    """
    given = {"weights": weights, "lengths": lengths, "labels": labels, "centres": centres}
    return Connectome(**of_files(read_mat_fields(existing(path), given)))


def read_hdf5(path: str | os.PathLike[str], weights: str | None = None, lengths: str | None = None) -> Connectome:
    """Read a connectome from an HDF5 file of The Virtual Brain or TVB-O. `Connectome.load` reads the same.

    The Virtual Brain's have the datasets `weights`, `tract_lengths` (mm), `region_labels` and `centres`. TVB-O's have a group for each
    matrix, dense or sparse, such as `edges/weight` and `edges/length`, and names of the regions in a YAML file of the same name
    beside. Rows of both are targets.

    Args:
        path: the file.
        weights: name of the dataset, or of the group in `edges`; by default 'weights' or 'weight'.
        lengths: likewise; by default 'tract_lengths', 'lengths' or 'length'.

    Raises:
        FileNotFoundError: there is no such file, or none with the labels that it says it has.
        ValueError: it cannot be read, has none or several that may be meant, lengths in another unit, parts in other files, or as
            `Connectome`.
        ImportError: h5py is not installed.

    Example:
        >>> import h5py, tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "connectivity.h5"
        >>> with h5py.File(path, "w") as file:
        ...     file["weights"], file["region_labels"] = [[0.0, 2.0], [1.0, 0.0]], ["V1", "V2"]
        >>> read_hdf5(path).labels
        ('V1', 'V2')
    """
    return Connectome(**of_files(read_hdf5_fields(existing(path), {"weights": weights, "lengths": lengths})))


def read_matrix(
    path: str | os.PathLike[str], *, symmetric: Literal["upper", "lower"] | None = None
) -> Float[np.ndarray | LabelledArray, "node node"]:
    r"""Read one square matrix over regions, such as functional connectivity, from a tsv, csv, txt or npy file.

    Args:
        path: the file.
        symmetric: 'upper' or 'lower' where the file has that half of a symmetric matrix alone. Without it, such a matrix is read
            as it is, with a warning.

    Returns:
        The matrix as float64, `(node, node)`: a `LabelledArray` with the labels in its first line or first column, or a plain
        array if it has none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, TypeError: not square, a value missing or infinite, or no number; with the file, row and column.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp()) / "fc.csv"
        >>> _ = file.write_text("V1,V2\n0,0.5\n0.5,0\n")
        >>> read_matrix(file)
        LabelledArray(2 x 2 regions from V1 to V2; 0 to 0.5)
    """
    part = mirrored({"matrix": read_part("matrix", existing(path))}, symmetric)["matrix"]
    check_square(part)
    check_values(part, part.labels, part.labels, "every pair of regions needs a value", signed=True)
    return with_names(part.value, *[part.labels or ()] * 2)


def read_bids_connectivity(
    path: str | os.PathLike[str], weights: str | None = None, lengths: str | None = None
) -> Connectome:
    r"""Read a connectome from BIDS derivatives, as drafted in BEP017 and BEP034. `Connectome.load` reads the same.

    BEP017: `*_meas-<label>_relmat.dense.tsv` (or `_relmat.tsv`) with a sidecar `*_relmat.json`, beside it or, by the
    inheritance principle, above it in the dataset. Labels are those in the table, or of `*_nodeindices.tsv`, or of the
    atlas that `NodeFiles` names. Where `ValidDiagonal` is false, the diagonal becomes zero.

    BEP034: `net/*_weights.tsv` and `net/*_distances.tsv`, with sidecars whose `CoordsRows` and `CoordsColumns` name
    `coord/*_labels.tsv` and `coord/*_nodes.tsv`. Delays and speeds are left out: a `Network` takes a speed of its own.

    Rows are read as targets; neither draft says. Sparse tables, HDF5 and zarr are not read. Lengths and positions are in mm where no unit is given.

    Args:
        path: a folder with the files of one subject (for BEP034 with the folder `net`), or one file of weights.
        weights: the measure to read from a folder of relationship matrices, such as `"streamlineCount"`; by default
            the one of a common name, or the only one that holds no lengths.
        lengths: likewise for tract lengths, such as `"tractLength"`; by default the one of a common name, if any.

    Raises:
        FileNotFoundError: a file, a sidecar, or a file that a sidecar names is missing.
        ValueError, TypeError: with the name of the file: several may be meant, a sidecar lacks what the draft requires,
            a matrix is not as its sidecar says, or as `Connectome`.

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "sub-01_meas-count_relmat.tsv").write_text("0\t2\n2\t0\n")
        >>> facts = {"RelationshipMeasure": "count", "Directed": False}
        >>> _ = (folder / "sub-01_meas-count_relmat.json").write_text(json.dumps(facts))
        >>> read_bids_connectivity(folder)
        Connectome(2 regions, density 1, weights 2 to 2, symmetric)
    """
    return Connectome(**of_files(bids.read_parts(existing(path), weights, lengths)))
