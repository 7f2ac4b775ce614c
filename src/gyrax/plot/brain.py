"""Maps on the brain."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .._extras import need
from ..anatomy.connectome import Connectome
from ._axes import colours, one_axes


def brain(
    values: Any,
    connectome: Connectome | None = None,
    *,
    atlas: Any = None,
    regions: Sequence[int] | None = None,
    kind: Literal["glass", "slices", "surface"] = "glass",
    hemisphere: Literal["left", "right"] = "left",
    view: str = "lateral",
    name: str = "",
    limits: tuple[float, float] | None = None,
    ax: Any = None,
) -> Any:
    """One value a region on the brain, through nilearn (extra "brain"); coordinates in mm, MNI space.

    "glass": a dot at the centre of each region in three views of a glass brain. With an atlas also "slices" through the
    region farthest from zero, regions filled with their values over the MNI152 template; and "surface", they on the inflated fsaverage5. Template and
    surface come with nilearn.

    Args:
        values: `(region,)`.
        connectome: with centres, for "glass".
        atlas: a label image in MNI space, one whole number a region and 0 outside: a nibabel image or the path of one.
        regions: the atlas' number of each region; its numbers in growing order if left out.
        kind: "glass", "slices" or "surface".
        hemisphere: which one to show on the surface.
        view: from where the surface is seen: "lateral", "medial", "dorsal", "ventral", "anterior", "posterior".
        name: what the colours are, with unit.
        limits: values of the first and the last colour.
        ax: matplotlib axes in whose place to draw; a new figure if left out. A surface needs axes with
            `projection="3d"`.

    Returns:
        The axes of the three views, an array; the one axes of a surface.

    Raises:
        ImportError: if nilearn is not installed.
        ValueError: for values that are not finite or not as many as regions, a connectome without centres, neither or
            both of connectome and atlas, an image that holds no labels, or axes that do not fit.

    Example:
        >>> import gyrax as gx
        >>> pair = gx.Connectome(np.eye(2), labels=["L", "R"], centres=[[-40, 0, 20], [40, 0, 20]])
        >>> len(brain([0.2, 0.9], pair, name="w"))
        3
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"expected one finite value a region, got shape {values.shape}: {values}")
    if (connectome is None) == (atlas is None):
        raise ValueError("where are the regions? give a connectome with centres, or atlas=, a label image")
    if kind not in ("glass", "slices", "surface"):
        raise ValueError(f"kind={kind!r}: expected 'glass', 'slices' or 'surface'")
    plotting = need("nilearn.plotting", "brain")
    scale = colours(values, limits)
    if connectome is not None:
        if kind != "glass":
            raise ValueError(f"kind='{kind}' fills regions, and centres do not tell their shape: give atlas=")
        return _markers(plotting, values, _centres(connectome, values), scale, name, ax)
    image, labels, numbers = _atlas(atlas, regions, len(values))
    if kind == "glass":
        return _markers(plotting, values, _masses(image, labels, numbers), scale, name, ax)
    if kind == "slices":
        cut = _masses(image, labels, numbers[[np.abs(values).argmax()]])[0]
        return _slices(plotting, image, _fill(labels, numbers, values), cut, scale, name, ax)
    return _surface(plotting, image, numbers, values, hemisphere, view, scale, name, ax)


def _centres(connectome: Connectome, values: np.ndarray) -> np.ndarray:
    if connectome.centres is None:
        raise ValueError(
            "this connectome has no centres: Connectome(..., centres=...) takes them, (region, 3) in mm, "
            "or give atlas=, a label image, in place of the connectome"
        )
    if len(values) != connectome.n_regions:
        raise ValueError(f"{len(values)} values for the {connectome.n_regions} regions of the connectome")
    return np.asarray(connectome.centres, float)


def _atlas(atlas: Any, regions: Sequence[int] | None, count: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """The image, its labels `(x, y, z)`, and the number there of each region."""
    image = need("nilearn.image", "brain").load_img(atlas)
    labels = np.asarray(image.dataobj)
    if labels.ndim != 3 or not np.array_equal(labels, np.round(labels)):
        raise ValueError(f"the atlas is no label image of whole numbers (x, y, z): its shape is {labels.shape}")
    labels = labels.astype(int)
    there = np.setdiff1d(labels, [0])
    numbers = there if regions is None else np.asarray(regions)
    if len(numbers) != count:
        raise ValueError(f"{count} values for {len(numbers)} regions of the atlas: give regions=, the number of each")
    missing = np.setdiff1d(numbers, there)
    if missing.size:
        raise ValueError(f"the atlas has no region {missing[0]}; it has {len(there)}, from {there[0]} to {there[-1]}")
    if len(np.unique(numbers)) < count:
        raise ValueError("regions= names a region of the atlas twice")
    return image, labels, numbers


def _fill(labels: np.ndarray, numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values in the place of labels, NaN where there is no region."""
    order = np.argsort(numbers)
    place = order[np.searchsorted(numbers, labels, sorter=order).clip(0, len(numbers) - 1)]
    return np.where(numbers[place] == labels, values[place], np.nan)


def _masses(image: Any, labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Centres of the regions in mm, `(region, 3)`."""
    from scipy.ndimage import center_of_mass

    voxels = np.array(center_of_mass(labels != 0, labels, numbers))
    return voxels @ image.affine[:3, :3].T + image.affine[:3, 3]


def _markers(
    plotting: Any, values: np.ndarray, centres: np.ndarray, scale: dict[str, Any], name: str, ax: Any
) -> np.ndarray:
    renamed = {f"node_{key}": value for key, value in scale.items()}
    edges = {"edgecolors": "0.3", "linewidths": 0.4}  # white dots on white would be lost
    size = float(np.clip(2500 / len(values), 15, 80))
    options = dict(node_size=size, node_kwargs=edges, alpha=0.9, colorbar=False)
    return _views(plotting.plot_markers(values, centres, axes=_frame(scale, name, ax), **options, **renamed))


def _slices(
    plotting: Any, image: Any, filled: np.ndarray, cut: np.ndarray, scale: dict[str, Any], name: str, ax: Any
) -> np.ndarray:
    nibabel, inside = need("nibabel", "brain"), np.isfinite(filled)
    # nilearn takes NaN for zero, which is a value like others here
    value, opaque = (
        nibabel.Nifti1Image(x.astype(np.float32), image.affine) for x in (np.where(inside, filled, 0.0), inside)
    )
    options = dict(threshold=None, colorbar=False, draw_cross=False, resampling_interpolation="nearest")
    template = need("nilearn.datasets", "brain").load_mni152_template(resolution=2)
    frame = _frame(scale, name, ax)
    return _views(
        plotting.plot_img(
            value,
            bg_img=template,
            transparency=opaque,
            black_bg=False,
            cut_coords=tuple(cut),
            axes=frame,
            **options,
            **scale,
        )
    )


def _frame(scale: dict[str, Any], name: str, ax: Any, size: tuple[float, float] = (8.0, 2.8), **options: Any) -> Any:
    """Axes for nilearn to draw in, with our colour bar: its own has no name and does not follow a layout."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    ax = one_axes(ax, size, **options)
    mappable = ScalarMappable(Normalize(scale["vmin"], scale["vmax"]), scale["cmap"])
    ax.figure.colorbar(mappable, ax=ax, shrink=0.8, label=name)
    return ax


def _views(display: Any) -> np.ndarray:
    """The axes that nilearn laid over the frame, made to follow it when the layout moves it."""
    from matplotlib.transforms import Bbox

    frame = display.frame_axes
    views = np.empty(len(display.axes), object)
    views[:] = [part.ax for part in display.axes.values()]
    to_figure = frame.figure.transSubfigure

    def follow(view: Any) -> None:
        start = view.get_axes_locator()(view, None)
        within = Bbox(frame.transAxes.inverted().transform(to_figure.transform(start.get_points())))
        view.set_axes_locator(
            lambda _, __: Bbox(to_figure.inverted().transform(frame.transAxes.transform(within.get_points())))
        )

    for view in views:
        follow(view)
    return views


def _surface(
    plotting: Any,
    image: Any,
    numbers: np.ndarray,
    values: np.ndarray,
    hemisphere: str,
    view: str,
    scale: dict[str, Any],
    name: str,
    ax: Any,
) -> Any:
    if ax is not None and ax.name != "3d":
        raise ValueError("a surface needs axes made with projection='3d'")
    datasets, surface = need("nilearn.datasets", "brain"), need("nilearn.surface", "brain")
    meshes = datasets.load_fsaverage("fsaverage5")
    # the most frequent label between white matter and pial surface: a mean of labels would be another region's
    labels = surface.vol_to_surf(
        image,
        meshes["pial"].parts[hemisphere],
        inner_mesh=meshes["white_matter"].parts[hemisphere],
        interpolation="nearest_most_frequent",
    )
    filled = _fill(np.round(np.nan_to_num(labels)).astype(int), numbers, values)
    ax = _frame(scale, name, ax, (5.0, 3.6), projection="3d")
    plotting.plot_surf(
        meshes["inflated"].parts[hemisphere],
        filled,
        bg_map=datasets.load_fsaverage_data(mesh="fsaverage5", data_type="sulcal").data.parts[hemisphere],
        hemi=hemisphere,
        view=view,
        avg_method="median",  # of three vertices: a face on a border has the value of one of the two regions
        colorbar=False,
        axes=ax,
        **scale,
    )
    return ax
