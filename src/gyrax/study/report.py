"""What the user takes home of a study: its table, its figures in files, its picture."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .. import plot
from .._formats.writing import replacing, write_text
from ..fitting.evaluation import Ceiling
from .settings import Settings


def table(stages: Sequence[dict[str, Any]], settings: Settings, ceiling: Ceiling | None = None) -> str:
    """The judgements of the stages as text.

    Example:
        >>> unseen = {"r": 0.42, "r_sd": 0.03, "rmse": 0.2, "seeds": 8}
        >>> stage = {"name": "refine", "n_free": 2, "seconds": 7.5, "train": {"r": 0.5, "rmse": 0.1}, "unseen": unseen}
        >>> print(table([stage], Settings()))
        stage       free  seconds   train r   rmse   unseen r     sd   rmse
        refine         2      7.5     0.500  0.100      0.420  0.030  0.200
        unseen: 8 noise seeds never trained on, 300 s of BOLD each
    """
    head = f"{'stage':10s} {'free':>5s} {'seconds':>8s}   {'train r':>7s} {'rmse':>6s}   {'unseen r':>8s} {'sd':>6s} {'rmse':>6s}"
    lines = [head]
    for x in stages:
        train, unseen = x["train"], x["unseen"]
        lines.append(
            f"{x['name']:10s} {x['n_free']:5d} {x['seconds']:8.1f}   {train['r']:7.3f} {train['rmse']:6.3f}   "
            f"{unseen['r']:8.3f} {unseen['r_sd']:6.3f} {unseen['rmse']:6.3f}"
        )
    lines.append(f"unseen: {settings.seeds} noise seeds never trained on, {settings.judged / 1000:g} s of BOLD each")
    if ceiling is not None:
        c = ceiling
        lines.append(
            f"two of them agree by r {c.reliability:.3f}: "
            + (
                f"no model could reach more than {c.highest:.3f}, this one {c.without_noise:.3f} without noise; it is limited by: {c.limit}"
                if c.told
                else "too little to tell what limits the fit; judge it on more seeds or longer recordings"
            )
        )
    return "\n".join(lines)


def write_summary(path: Path, stages: Sequence[dict[str, Any]], ceiling: Ceiling | None) -> None:
    """`summary.json`: the judgements of the stages, and what limits the last."""
    summary: dict[str, Any] = {"stages": stages}
    if ceiling is not None:
        shown = ("unseen", "reliability", "highest", "without_noise", "limit")
        summary["ceiling"] = {name: getattr(ceiling, name) for name in shown}
    write_text(path, json.dumps(summary, indent=1))


def write_recordings(
    path: Path, bold: np.ndarray, fcs: np.ndarray, target: np.ndarray, labels: Sequence[str], settings: Settings
) -> None:
    """`recordings.nc`: what the fitted network gives on each unseen seed, beside the target."""
    s = settings
    data = xr.Dataset(
        {
            "bold": (("seed", "time", "region"), bold),
            "fc": (("seed", "region", "source"), fcs),
            "target": (("region", "source"), target),
        },
        coords={
            "time": ("time", s.warm_up + s.period * np.arange(1, bold.shape[1] + 1), {"units": "ms"}),
            "region": list(labels),
            "source": list(labels),
        },
    )
    with replacing(path) as beside:
        data.to_netcdf(beside, engine="scipy")


def draw(
    path: Path,
    target: np.ndarray,
    found: np.ndarray,
    labels: Sequence[str],
    losses: Mapping[str, np.ndarray],
    regional: Mapping[str, Any],
) -> None:
    """`figure.png`: the target and what was found, the losses of each stage one after the other, a regional parameter.

    Args:
        path: where it is written.
        target: functional connectivity that was fitted.
        found: the fitted network's, the mean of unseen noise.
        labels: of the regions.
        losses: step by step, by the name of the stage.
        regional: parameters with one value a region, by their dotted paths; the first is shown.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.5), layout="constrained")
    axes = figure.subplots(2, 3)
    panels = plot.fc_fit(target, found, labels, limits=(0, 1), scatter=True, ax=axes.flat[:4])
    panels[1].set_title(f"{panels[1].get_title()}, mean of unseen noise")
    at = 0
    for name, values in losses.items():
        axes[1, 1].plot(np.arange(len(values)) + at, values, lw=1, label=name)
        at += len(values)
    axes[1, 1].set(xlabel="step", ylabel="loss: 1 - r + 2 rmse", title="loss history")
    axes[1, 1].legend(frameon=False)
    for name, values in list(regional.items())[:1]:
        plot.regional(values, labels, name=name, ax=axes[1, 2])
        axes[1, 2].set_title("regional parameters")
    with replacing(path) as beside:
        figure.savefig(beside, dpi=130, format="png")
