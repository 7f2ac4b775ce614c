"""What the user takes home of a study: its table, its verdict in words, its figures in files, its pictures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .. import plot
from .._formats.writing import replacing, write_text
from ..fitting.evaluation import Ceiling
from ..network.network import Network
from . import page
from .mismatch import Dynamics
from .scans import Scan
from .settings import Settings
from .structure import correlation, rmse

if TYPE_CHECKING:
    from .study import Study

#: Correlations that differ by less are called the same.
SAME = 0.01
#: Rows of the table as a sentence calls them.
_CALLED = {"linear model of it": "the linear model", "the training scans": "the training scans themselves"}


def reference(
    name: str, n_free: int, fc: np.ndarray, target: np.ndarray | None, there: np.ndarray, tests: Sequence[Scan]
) -> dict[str, Any]:
    """A row of what is no stage: a matrix as a prediction of the target and of the scans held out.

    What has free numbers gives correlations, whose level counts as well.
    """
    return {
        "name": name,
        "n_free": n_free,
        "r": None if target is None else correlation(fc, target, there),
        "rmse": None if target is None or not n_free else rmse(fc, target, there),
        "tests": {scan.name: correlation(fc, scan.fc, there) for scan in tests},
    }


def cells(study: "Study") -> tuple[list[str], list[list[str]], int]:
    """The table: its head, its rows, and how many of these are references."""
    dynamics = any("ks" in x["unseen"] for x in study.stages)
    tests = [scan.name for scan in study.data.test]
    head = ["", "free", "seconds", "train r", "unseen r", "sd", "rmse", "mean r"]
    head += ["KS of FCD"] * dynamics + [f"test: {Path(name).name}" for name in tests]
    references, rows = study.references if study.stages else [], []
    for x in references:
        r = "" if x["r"] is None else f"{x['r']:.3f}"
        level = "" if x["rmse"] is None else f"{x['rmse']:.3f}"
        row = [x["name"], str(x["n_free"]), "", "", "", "", level, r]
        rows.append(row + [""] * dynamics + [f"{x['tests'][name]:.3f}" for name in tests])
    for x in study.stages:
        unseen = x["unseen"]
        row = [x["name"], f"{x['n_free']:d}", f"{x['seconds']:.1f}", f"{x['train']['r']:.3f}", f"{unseen['r']:.3f}"]
        row += [f"{unseen['r_sd']:.3f}", f"{unseen['rmse']:.3f}", f"{unseen['mean_r']:.3f}"]
        row += [f"{unseen['ks']:.3f}" if "ks" in unseen else ""] * dynamics
        rows.append(row + [f"{x['tests'][name]:.3f}" if name in x["tests"] else "" for name in tests])
    return head, rows, len(references)


def legend(settings: Settings, met: Dynamics | None) -> str:
    """What the columns are."""
    return (
        f"r and rmse of functional connectivity. train: on the noise of the training; unseen: {settings.seeds} noise seeds never "
        f"trained on, {settings.judged / 1000:g} s of BOLD each, mean and sd; mean r: of their mean connectivity"
        + (f"; FCD over windows of {met.window / 1000:g} s every {met.step / 1000:g} s, whole samples" if met else "")
        + ("; test: of that with scans held out, which no choice has seen" if settings.test else "")
    )


def table(study: "Study") -> str:
    """The stages as text, under what they are to be compared with, and the verdict."""
    head, rows, _ = cells(study)
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(row: list[str]) -> str:
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join((first, *others)).rstrip()

    return "\n".join([*map(line, (head, *rows)), legend(study.settings, study.dynamics_met), "", *verdict(study)])


def verdict(study: "Study") -> list[str]:
    """Whether the model adds anything, in words."""
    if not study.stages:
        return []
    last, references = study.stages[-1], {_CALLED.get(row["name"], row["name"]): row for row in study.references}
    found, simple = last["unseen"], references["the linear model"]
    said = [
        f"The stage '{last['name']}' ({last['n_free']} numbers) reaches r {found['r']:.3f} on noise it never saw "
        f"({found['mean_r']:.3f} in the mean of {found['seeds']} recordings); one number in a linear model of the connectome "
        f"reaches {simple['r']:.3f}" + _more(found["mean_r"], simple["r"])
    ]
    said += [f"In the stage '{x['name']}' {x['said']}." for x in study.stages if x.get("said")]
    gap = last["train"]["r"] - found["r"]
    if gap > 0.05:
        said.append(f"It has learnt noise by heart: on the noise of the training it reaches {gap:.3f} more.")
    if study.ceiling is not None:
        said.append(_limits(study.ceiling))
    if not last["tests"]:
        said.append("How it predicts another scan of the same brain is not known: hold one out with --test.")
    for name, r in last["tests"].items():
        best = max((row["tests"][name], called) for called, row in references.items())
        said.append(
            f"It predicts the scan held out ({Path(name).name}) by r {r:.3f}; {best[1]} by {best[0]:.3f}"
            + _more(r, best[0])
        )
    return said


def _more(r: float, other: float) -> str:
    if r > other + SAME:
        return ": the model adds to that."
    if r < other - SAME:
        return ": the model knows less than that."
    return ": the model adds nothing to that."


def _limits(c: Ceiling) -> str:
    """What keeps a fit from doing better."""
    return f"Two of these recordings agree by r {c.reliability:.3f}: " + (
        f"no model could reach more than {c.highest:.3f} in one, this one {c.without_noise:.3f} without noise; it is limited by: {c.limit}."
        if c.told
        else "too little to tell what limits the fit; judge it on more seeds or longer recordings."
    )


def write(
    study: "Study", network: Network, bold: np.ndarray, fcs: np.ndarray, losses: Mapping[str, np.ndarray]
) -> None:
    """All files but the model's own."""
    labels, out, values = network.connectome.labels, study.out, study.values(network)
    summary: dict[str, Any] = {"stages": study.stages, "references": study.references, "verdict": verdict(study)}
    summary["weights"] = {"how": study.structure.how, "why": study.structure.why}
    summary |= {} if study.data.prior is None else {"share of the scans in the target": study.data.share}
    if study.ceiling is not None:
        shown = ("unseen", "reliability", "highest", "without_noise", "limit")
        summary["ceiling"] = {name: getattr(study.ceiling, name) for name in shown}
    write_text(out / "summary.json", json.dumps(summary, indent=1))
    write_recordings(out / "recordings.nc", bold, fcs, study)
    kept = np.ix_(study.there, study.there)
    compared = [label for label, there in zip(labels, study.there, strict=True) if there]
    made_of = "1 - r + 2 rmse" + " + 2 FCD" * (study.dynamics is not None)
    draw(out / "figure.png", made_of, (study.target[kept], fcs.mean(0)[kept], compared), losses, (values, labels))
    write_report(out / "report.html", study, fcs.mean(0), losses, values)


def write_recordings(path: Path, bold: np.ndarray, fcs: np.ndarray, study: "Study") -> None:
    """`recordings.nc`: what the fitted network gives on each unseen seed, beside the target and the scans held out."""
    period, warm_up, labels = study.period, study.loss(study.settings.judged).warm_up, study.network.connectome.labels
    data = xr.Dataset(
        {
            "bold": (("seed", "time", "region"), bold),
            "fc": (("seed", "region", "source"), fcs),
            "target": (("region", "source"), np.where(np.outer(study.there, study.there), study.target, np.nan)),
            "counts": ("region", study.there),
        },
        coords={
            "time": ("time", warm_up + period * np.arange(1, bold.shape[1] + 1), {"units": "ms"}),
            "region": list(labels),
            "source": list(labels),
        },
    )
    if study.data.test:
        data["test"] = (("scan", "region", "source"), np.stack([scan.fc for scan in study.data.test]))
        data = data.assign_coords(scan=[scan.name for scan in study.data.test])
    with replacing(path) as beside:
        data.to_netcdf(beside, engine="scipy")


def draw(
    path: Path,
    loss: str,
    compared: tuple[np.ndarray, np.ndarray, Sequence[str]],
    losses: Mapping[str, np.ndarray],
    regional: tuple[Mapping[str, Any], Sequence[str]],
) -> None:
    """`figure.png`: the target and what was found, the losses of each stage one after the other, a regional parameter.

    Args:
        path: where it is written.
        loss: what it is made of.
        compared: connectivity that was fitted and the fitted network's, the mean of unseen noise; of the regions that count, with names.
        losses: step by step, by the name of the stage.
        regional: parameters with one value a region, by their dotted paths, of which the first is shown; and names of all regions.
    """
    (target, found, names), (parameters, labels) = compared, regional
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.5), layout="constrained")
    axes = figure.subplots(2, 3)
    panels = plot.fc_fit(target, found, names, limits=(0, 1), scatter=True, ax=axes.flat[:4])
    panels[1].set_title(f"{panels[1].get_title()}, mean of unseen noise")
    at = 0
    for name, values in losses.items():
        axes[1, 1].plot(np.arange(len(values)) + at, values, lw=1, label=name)
        at += len(values)
    axes[1, 1].set(xlabel="step", ylabel=f"loss: {loss}", title="loss history")
    if losses:
        axes[1, 1].legend(frameon=False)
    for name, values in list(parameters.items())[:1]:
        plot.regional(values, labels, name=name, ax=axes[1, 2])
        axes[1, 2].set_title("regional parameters")
    with replacing(path) as beside:
        figure.savefig(beside, dpi=130, format="png")


def write_report(
    path: Path, study: "Study", found: np.ndarray, losses: Mapping[str, np.ndarray], regional: Mapping[str, np.ndarray]
) -> None:
    """`report.html`: everything on one page."""
    head, rows, references = cells(study)
    there, connectome, told = study.there, study.structure.connectome, study.config()
    shown = {
        "fitted to": study.target,
        "model, mean of unseen noise": found,
        "model minus fitted to": found - study.target,
    }
    pairs = {"fitted to": (study.target, found)}
    for scan in study.data.test:
        shown[f"held out: {Path(scan.name).name}"] = scan.fc
        pairs[f"held out: {Path(scan.name).name}"] = (scan.fc, found)
    figures = [
        (
            "Functional connectivity",
            page.matrices(shown, there),
            "Regions in the connectome's order; the diagonal is left out.",
        ),
        ("Pair by pair", page.scatter(pairs, there), "Every pair of regions once; the line is equality."),
    ]
    if losses:
        figures.append(
            ("How the stages went down", page.curves(losses), "The loss of each stage that descends, step by step.")
        )
    if regional:
        figures.append(
            ("Parameters of regions", page.regional(regional, connectome.labels), "Bars from the mean of all regions.")
        )
    if regional and connectome.centres is not None:
        centres = np.asarray(connectome.centres, float)
        figures.append(("On the brain", page.on_the_brain(regional, centres), "A dot at each region's centre."))
    kept = study.structure
    page.write_page(
        path,
        title=f"{study.settings.model} fitted to {', '.join(Path(name).name for name in study.settings.fit)}",
        subtitle=f"{int(there.sum())} of {len(there)} regions; weights {kept.how}: {kept.why}",
        verdict=verdict(study),
        columns=head,
        rows=[{"reference": i < references, "cells": row} for i, row in enumerate(rows)],
        legend=legend(study.settings, study.dynamics_met),
        notes=study.data.notes,
        figures=[{"title": title, "svg": svg, "caption": caption} for title, svg, caption in figures],
        command=f"gyrax fit --resume --out {study.out}   # nothing is computed twice\ngyrax fit {_options(study.settings)}",
        settings=told["settings"],
        versions=told["versions"] | told["data"],
    )


def _options(settings: Settings) -> str:
    """The options of the command that differ from what they are left out."""
    plain, default = settings.plain(), Settings().plain()
    found = []
    for name in (
        "connectome",
        "fit",
        "test",
        "prior",
        "tr",
        "atlas",
        "weights",
        "model",
        "free",
        "regional",
        "maps",
        "steps",
        "seeds",
    ):
        if plain[name] != default[name]:
            several = plain[name] if isinstance(plain[name], list) else [plain[name]]
            found += [f"--{name} {value}" for value in several]
    if settings.stages:
        found.append(f"--stages {','.join(settings.stages)}")
    if settings.fcd:
        found.append(f"--fcd {settings.fcd[0]:g} {settings.fcd[1]:g}")
    return " ".join(found + ["--x64"] * settings.x64)
