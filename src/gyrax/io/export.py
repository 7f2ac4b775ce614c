"""Recordings and parameters on their way out: netCDF, zarr, tables, MNE, NIfTI and GIfTI."""

import os
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

from .._extras import need
from .._formats.fields import closest
from .._formats.hdf5 import opened
from .._formats.reading import check_size, existing, inside, reading
from .._formats.writing import new_folder, replacing
from .._types import is_traced
from ..labelled import check_same, known_names
from ..network.network import Network
from ..parameters.addresses import named_leaves
from ..recordings.recording import Recording
from ..recordings.run import Run
from .atlases import read_label_image

File = str | os.PathLike[str]


def to_netcdf(recordings: Run | Recording | Mapping[str, Recording], path: File) -> None:
    """Write recordings into one netCDF-4 file, a group each, which xarray and other software open by name.

    Samples, labels, times in ms and other axes are all there: `read_recordings` gives the same recordings back. A file that
    is there is overwritten.

    Args:
        recordings: a run, of which `final` is left out, one recording, or several by name.
        path: the file, `.nc`.

    Raises:
        ValueError: for no recordings, a name with a slash, or values that are not known (inside jit).
        ImportError: netCDF4 is not installed.

    Example:
        >>> import tempfile
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), gx.Connectome([[0, 1], [1, 0]]))
        >>> file = tempfile.mkdtemp() + "/run.nc"
        >>> to_netcdf(gx.simulate(net, duration=5.0, dt=1.0), file)
        >>> read_recordings(file)["raw"]
        Recording(time: 5, state: 1, region: 2; S every 1 ms)
    """
    need("netCDF4", "io")
    tree = _tree(recordings)
    with replacing(path) as beside:
        tree.to_netcdf(beside, mode="w", format="NETCDF4", engine="netcdf4")


def to_zarr(recordings: Run | Recording | Mapping[str, Recording], path: File) -> None:
    """Write recordings into a zarr store, a group each. `read_recordings` gives them back.

    Args:
        recordings: as in `to_netcdf`.
        path: a folder that is not there yet.

    Raises:
        FileExistsError: there is something already.
        ValueError: as `to_netcdf`.
        ImportError: zarr is not installed.
    """
    need("zarr", "io")
    tree = _tree(recordings)
    with new_folder(path) as beside:
        tree.to_zarr(beside, mode="w-", consolidated=False)


def read_recordings(path: File) -> dict[str, Recording]:
    """The recordings that `to_netcdf` or `to_zarr` wrote, by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none of ours.
        ImportError: netCDF4 or zarr is not installed.
    """
    path = existing(path)
    need("zarr" if path.is_dir() else "netCDF4", "io")
    if path.is_dir():
        for file in path.rglob("*"):
            inside(file, path)
        options: dict[str, Any] = {"engine": "zarr", "consolidated": False}
    else:
        with opened(path, "netCDF") as store:
            store.check(store.file)
        options = {"engine": "netcdf4"}
    with reading(path, "zarr" if path.is_dir() else "netCDF"), xr.open_datatree(path, **options) as tree:
        groups = {str(name): node.to_dataset() for name, node in tree.children.items()}
        check_size(path, sum(data.nbytes for data in groups.values()), "what is in it")
        foreign = [name for name, data in groups.items() if "first_step" not in data.attrs]
        if foreign or not groups:
            raise ValueError(
                f"{path} was not written by to_netcdf or to_zarr: it has " + (", ".join(foreign) or "no groups")
            )
        return {name: _recording(data) for name, data in groups.items()}


def _tree(recordings: Run | Recording | Mapping[str, Recording]) -> xr.DataTree:
    about = {}
    if isinstance(recordings, Run):
        about = {"dt_ms": recordings.dt, "steps": recordings.steps, "failure": recordings.failure}
        recordings = recordings.recordings
    named = {"recording": recordings} if isinstance(recordings, Recording) else dict(recordings)
    if not named:
        raise ValueError("there are no recordings to write")
    for name, recording in named.items():
        if "/" in name or not name:
            raise ValueError(f"a recording is called {name!r}: groups of a file need names without a slash")
        if is_traced(recording.values):
            raise ValueError(f"the values of {name!r} are not known yet: write them outside jit")
    groups = {f"/{name}": _dataset(recording) for name, recording in named.items()}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=about), **groups})


def _dataset(recording: Recording) -> xr.Dataset:
    """All of a recording: what its axes do not show goes into variables and attributes of its own."""
    data = recording.to_xarray().to_dataset(name="values")
    data.attrs = {
        "first_step": int(np.ravel(recording.first)[0]),
        "period_ms": recording.period,
        "dt_ms": recording.dt,
        "stamp_ms": recording.stamp,
        "channel": recording.channel,
        "dims": list(recording.dims),
    }
    for name, coordinate in data.coords.items():
        if coordinate.dtype.kind == "U":  # zarr has no lasting format for text of fixed length
            data[name] = coordinate.astype(object)
    data["source"] = ("recorded", np.array(recording.source, dtype=object))
    data["label"] = ("labelled", np.array(recording.labels, dtype=object))
    return data


def _recording(data: xr.Dataset) -> Recording:
    facts = data.attrs
    dims = tuple(np.atleast_1d(facts["dims"]).tolist())
    apart = ("time", "state", facts["channel"])
    axes = tuple((dim, tuple(data[dim].values.tolist())) for dim in dims if dim in data.coords and dim not in apart)
    values = data["values"].values
    labels, period, dt, stamp = (
        data["label"].values,
        *(float(facts[f"{name}_ms"]) for name in ("period", "dt", "stamp")),
    )
    count = data.sizes.get(facts["channel"], len(labels))
    if values.dtype.kind not in "biufc" or len(dims) > values.ndim or len(labels) != count:
        raise ValueError(f"values of {values.dtype} and shape {values.shape} are no {dims} with {len(labels)} labels")
    if not (0 < period < np.inf and 0 < dt < np.inf and np.isfinite(stamp)):
        raise ValueError(f"samples are {period} ms apart, steps {dt} ms, stamped {stamp} ms off: expected finite times")
    return Recording(
        jnp.asarray(values, jnp.result_type(float) if values.dtype.kind == "f" else None),
        jnp.array(int(facts["first_step"])),
        period,
        dt,
        stamp,
        dims,
        tuple(map(str, data["source"].values)),
        tuple(map(str, labels)),
        str(facts["channel"]),
        axes,
    )


def to_dataframe(recording: Recording) -> Any:
    """A recording as a pandas DataFrame: a row a sample (`time_ms`), a column a region or sensor.

    Runs of `vmap` are further levels of the rows. Several states (or frequencies) are further levels of the columns; one
    state is left out.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), gx.Connectome([[0, 1], [1, 0]]))
        >>> frame = to_dataframe(gx.simulate(net, duration=2.0, dt=1.0)["raw"])
        >>> frame.index.tolist(), frame.columns.tolist()
        ([1.0, 2.0], ['region_0', 'region_1'])
    """
    data = recording.to_xarray()
    if data.sizes.get("state") == 1 and len(data.dims) > 2:
        data = data.isel(state=0, drop=True)
    split = data.dims.index("time") + 1
    levels = [data[dim].values if dim in data.coords else np.arange(data.sizes[dim]) for dim in data.dims]
    names = ["time_ms" if dim == "time" else str(dim) for dim in data.dims]
    sides = [_index(part, label) for part, label in ((levels[:split], names[:split]), (levels[split:], names[split:]))]
    return pd.DataFrame(data.values.reshape(len(sides[0]), -1), *sides)


def _index(levels: list[np.ndarray], names: list[str]) -> Any:
    if len(levels) == 1:
        return pd.Index(levels[0], name=names[0])
    return pd.MultiIndex.from_product(levels, names=names) if levels else pd.Index(["value"])


def parameters_frame(network: Network, *where: str) -> Any:
    """Parameters of a network as a pandas DataFrame: a row a region, a column a parameter.

    One value for all regions stands in every row.

    Args:
        network: the network, such as a fitted one.
        where: names such as 'model.w'; all parameters of the model if left out.

    Raises:
        ValueError: there is no such parameter, or it has neither one value nor one a region.

    Example:
        >>> import gyrax as gx
        >>> pair = gx.Connectome([[0, 1], [1, 0]], labels=["V1", "V2"])
        >>> net = gx.Network(gx.models.WongWang(w=[0.5, 0.75]), gx.couplings.Linear(source="S"), pair)
        >>> parameters_frame(net, "model.w", "coupling.strength")
                model.w  coupling.strength
        region
        V1         0.50                1.0
        V2         0.75                1.0
    """
    leaves = named_leaves(network)
    columns, channel = {}, network.channels(()).dim
    for name in where or [name for name in leaves if name.startswith("model.")]:
        if name not in leaves:
            raise ValueError(f"the network has no parameter {name!r}: {closest(name, leaves)}")
        value = np.asarray(leaves[name])
        if value.shape not in ((), (network.n_nodes,)):
            raise ValueError(f"{name} has shape {value.shape}, expected one value, or one a {channel}")
        columns[name] = np.broadcast_to(value, network.n_nodes)
    return pd.DataFrame(columns, index=pd.Index(network.labels, name=channel))


def to_nifti(values: Any, atlas: Any, path: File | None = None, *, numbers: Any = None, outside: float = 0.0) -> Any:
    """A map of one value a region as a NIfTI image: every voxel has the value of its region, in float32.

    Args:
        values: `(region,)`, such as a fitted parameter.
        atlas: label image, a file or an image of nibabel: one whole number a region, 0 outside.
        path: where to write it; nowhere if left out.
        numbers: the atlas' number of each region; its numbers in growing order if left out.
        outside: value of the voxels that are in no region.

    Returns:
        The image of nibabel.

    Raises:
        ValueError: for values that are not finite or not as many as the atlas has regions, numbers that it has not, or a path
            that does not end with `.nii` or `.nii.gz`.
        ImportError: nibabel is not installed.

    Example:
        >>> import nibabel as nib
        >>> atlas = nib.Nifti1Image(np.array([0, 5, 9, 9], np.int16).reshape(2, 2, 1), np.eye(4))
        >>> to_nifti([0.5, 0.75], atlas).get_fdata().ravel().tolist()
        [0.0, 0.5, 0.75, 0.75]
    """
    nibabel = need("nibabel", "io")
    values, image = _map(values), read_label_image(atlas)
    if numbers is None and len(values) != len(image.numbers):
        raise ValueError(
            f"{len(values)} values for the {len(image.numbers)} regions of the atlas ({image.numbers[0]} to "
            f"{image.numbers[-1]}): numbers= says which number is whose"
        )
    numbers = list(image.numbers) if numbers is None else [int(number) for number in np.asarray(numbers)]
    if len(numbers) != len(values) or len(set(numbers)) < len(numbers):
        raise ValueError(f"numbers= has {len(set(numbers))} different numbers for {len(values)} values")
    missing = sorted(set(numbers) - set(image.numbers))
    if missing:
        raise ValueError(
            f"the atlas has no region {missing[0]}; it has {len(image.numbers)}, up to {image.numbers[-1]}"
        )
    painted = np.full(len(image.numbers) + 1, outside, np.float32)  # the last one is of index -1
    painted[[image.numbers.index(number) for number in numbers]] = values
    made = nibabel.Nifti1Image(painted[image.region_of], image.affine)
    made.header.set_xyzt_units("mm")
    _write_image(made, path, (".nii", ".nii.gz"))
    return made


def to_gifti(values: Any, region_of: Any, path: File | None = None, *, outside: float = float("nan")) -> Any:
    """A map of one value a region as a GIfTI image: every vertex has the value of its region, in float32.

    Args:
        values: `(region,)`, such as a fitted parameter.
        region_of: index of every vertex's region, -1 for none: an array, a `gx.Surface`, or what `read_gifti_labels` and
            `read_annot` return, with as many regions as values.
        path: where to write it, `.func.gii` or `.shape.gii`; nowhere if left out.
        outside: value of the vertices that are in no region.

    Returns:
        The image of nibabel.

    Raises:
        ValueError: for values that are not finite, not as many as there are regions or of other regions, or a path that does not end with `.gii`.
        ImportError: nibabel is not installed.

    Example:
        >>> to_gifti([0.5, 0.75], np.array([0, 1, 1, -1])).agg_data().tolist()
        [0.5, 0.75, 0.75, nan]
    """
    nibabel = need("nibabel", "io")
    values, labels = known_names(values, "values")
    values, index = _map(values), np.asarray(getattr(region_of, "region_of", region_of))
    if index.ndim != 1 or index.dtype.kind not in "iu" or index.min(initial=0) < -1:
        raise ValueError(f"region_of is a whole number a vertex, -1 for none, got {index.dtype} of shape {index.shape}")
    names = getattr(region_of, "names", None)
    count = len(names) if names is not None else index.max(initial=-1) + 1
    if len(values) != count:
        raise ValueError(f"{len(values)} values for the {count} regions of the vertices")
    check_same(labels[0], None if names is None else tuple(names), "the values", "the regions of the vertices")
    painted = np.append(values, outside).astype(np.float32)[index]
    made = nibabel.gifti.GiftiImage()
    made.add_gifti_data_array(nibabel.gifti.GiftiDataArray(painted, "NIFTI_INTENT_SHAPE", "NIFTI_TYPE_FLOAT32"))
    _write_image(made, path, (".gii",))
    return made


def _write_image(image: Any, path: File | None, endings: tuple[str, ...]) -> None:
    """In one move, if there is a path, whose ending says the format."""
    if path is None:
        return
    if not str(path).lower().endswith(endings):
        raise ValueError(f"{path} has to end with {' or '.join(endings)}")
    with replacing(path) as beside:
        image.to_filename(beside)


def _map(values: Any) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"expected one finite value a region, got shape {values.shape}: {values}")
    return values
