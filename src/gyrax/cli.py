"""`gyrax`, the command."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ._formats.locking import passes

if TYPE_CHECKING:
    from .study import Settings

_DEFAULT_OUT = "gyrax-fit"
_CLUSTER = click.option(
    "--cluster",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Workers that compute, as a YAML file says: 'kind: slurm', 'jobs: 20', and arguments of Dask's SLURMCluster.",
)


@click.group()
@click.version_option(package_name="gyrax")
def main() -> None:
    """Fit whole-brain network models to brain data by gradient."""


@main.command("fit")
@click.option(
    "--connectome", help="A folder with weights.tsv (and lengths.tsv, labels.txt), an npz or a table; dk84 if left out."
)
@click.option(
    "--fit",
    "fit_",
    multiple=True,
    help="A scan to fit: series (tsv, csv, npy, mat, NIfTI, GIfTI, CIFTI) or functional connectivity; may be given several times.",
)
@click.option(
    "--test",
    multiple=True,
    help="A scan held out, to see how the fitted model predicts it; may be given several times.",
)
@click.option(
    "--prior", help="What the target is drawn to: the folder of an earlier fit, such as a group's, or connectivity."
)
@click.option("--tr", type=float, help="Seconds between two samples, where the files do not say it.")
@click.option("--atlas", help="Label image or label file of the regions, for images.")
@click.option(
    "--weights",
    type=click.Choice(["auto", "raw", "sqrt", "log"]),
    help="How weights of any unit come to one scale; auto: roots of what spans decades.",
)
@click.option("--model", help="WongWang (if left out) or Hopf.")
@click.option(
    "--stages", help="Some of explore, refine, regional, maps, connectivity, with commas; all that apply if left out."
)
@click.option("--free", multiple=True, help="A free parameter such as model.w; may be given several times.")
@click.option(
    "--regional",
    multiple=True,
    help="What gets one value a region, such as model.w or noise.sigma; may be given several times.",
)
@click.option(
    "--maps", help="A table of regions and maps (myelin, a gradient, ...), along which regional parameters differ."
)
@click.option(
    "--fcd", type=float, nargs=2, help="Fit the dynamics of connectivity too: seconds of a window, and to the next."
)
@click.option(
    "--steps", type=click.IntRange(1), help="Gradient steps of the regional stage; the others take a part of them."
)
@click.option("--seeds", type=click.IntRange(1), help="Noise seeds never trained on that the fit is judged by.")
@click.option("--x64", is_flag=True, help="Compute in float64.")
@click.option(
    "--out", type=click.Path(path_type=Path), help=f"Folder for the results; a new {_DEFAULT_OUT} if left out."
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted fit in --out (the latest one, if left out).")
@click.option(
    "--smoke", is_flag=True, help="The same in seconds, to see that everything works; the figures mean nothing."
)
@click.option(
    "--subjects",
    help="A folder with one of each subject (or a pattern of such, in quotes): the same fit of each. --fit and --test then name files in these.",
)
@_CLUSTER
def fit(
    out: Path | None, resume: bool, smoke: bool, subjects: str | None, cluster: Path | None, **options: Any
) -> None:
    """Fit a network to functional connectivity, stage by stage.

    Explores two parameters coarsely, refines them by gradient, frees one value a region, then every connection. Prints and saves
    how well each stage does on noise it was never trained on, and on scans it was never fitted to. What comes in is as it is: clean
    the scans of confounds (motion, physiology) before.
    """
    _every_core()
    given = {name.rstrip("_"): value for name, value in options.items() if value not in (None, (), False)}
    if "stages" in given:
        given["stages"] = tuple(name.strip() for name in given["stages"].split(",") if name.strip())
    if subjects is not None:
        _fit_subjects(subjects, out, given, smoke, cluster)
        return
    try:
        if cluster is not None:
            raise ValueError("--cluster is for several subjects: name their folder by --subjects")
        folder = _folder(out, resume)
        settings = _settings(folder, given, resume, smoke)
        _precision(settings.x64)
        from .study import StudyInterrupted, prepare

        study = prepare(settings, folder)
    except (OSError, ValueError, TypeError, ImportError) as error:
        _fail(error)
    click.echo(repr(study.network))
    click.echo(repr(study.data))
    for note in study.data.notes:
        click.echo(f"note: {note}")
    click.echo(f"weights: {study.structure.how}, {study.structure.why}")
    click.echo(f"stages: {', '.join(stage.name for stage in study.planned)}; free: {', '.join(study.free)}")
    try:
        study.run()
    except (StudyInterrupted, KeyboardInterrupt) as stop:
        click.echo(f"\nstopped {str(stop) or 'between steps'}; go on with: gyrax fit --resume --out {folder}", err=True)
        sys.exit(130)
    except BlockingIOError as error:
        _fail(error)
    except OSError as error:
        begun = (folder / "config.yaml").exists()
        _fail(error, f"; what was finished is kept: go on with gyrax fit --resume --out {folder}" if begun else "")
    except (FloatingPointError, ValueError) as error:
        _fail(error)
    click.echo("\n" + study.table())
    if smoke:
        click.echo("a smoke run: everything works, and the figures mean nothing")
    click.echo(f"\nin {folder}: " + ", ".join(study.files))


def _fit_subjects(where: str, out: Path | None, given: dict[str, Any], smoke: bool, cluster: Path | None) -> None:
    """The same study of each subject; the same command goes on with those that are missing."""
    try:
        if out is None:
            raise ValueError("with --subjects, --out names the folder for their results")
        _precision(bool(given.get("x64")))
        from .study.subjects import fit_subjects, read_all, read_subjects

        subjects = read_subjects(where, given, out, smoke)
        study, failed = read_all(subjects, out)
        click.echo(f"{len(subjects)} subjects, {next(iter(subjects))} to {list(subjects)[-1]}")
        if study is not None:
            click.echo(f"the first to fit, {study.out.name}:\n{study.network!r}\n{study.data!r}")
        for name, error in failed.items():
            click.echo(f"note: {name} cannot be fitted: {_line(error)}")
        with _workers(cluster) as client:
            fits = fit_subjects(subjects, out, client)
    except (OSError, ValueError, TypeError, ImportError, RuntimeError) as error:
        _fail(error)
    fits.table.to_csv(out / "subjects.csv")
    click.echo(
        f"\n{fits.table.to_string(float_format='{:.4g}'.format)}\n\nin {out}: subjects.csv, and a folder of each subject"
    )
    if fits.stopped != "done":
        click.echo("\nstopped; what was finished is kept, and the same command goes on", err=True)
        sys.exit(130)
    if fits.tracebacks:
        click.echo(f"{len(fits.tracebacks)} of {len(subjects)} failed; the same command tries them again", err=True)
        sys.exit(1)


@main.command("sweep")
@click.argument("study", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--x64", is_flag=True, help="Compute in float64.")
@_CLUSTER
def sweep(study: Path, x64: bool, cluster: Path | None) -> None:
    """Compute a function of a model over a space, as STUDY says, a YAML file, into the store that it names.

    It has `model` and `function`, each 'file.py:name'; `space`, values by parameter; and `store`, a folder such as study.zarr. Stopped or killed, the
    same command goes on where it was.
    """
    _every_core()
    _precision(x64)
    from .scale import status as how_far
    from .scale.described import by_user, read_study
    from .scale.sweeping import sweep as swept

    try:
        given = read_study(study)
        with _workers(cluster) as client:
            swept(
                given.pop("model"),
                given.pop("function"),
                given.pop("space"),
                **given,
                client=client,
                progress=study.stem,
            )
    except KeyboardInterrupt:
        click.echo(f"\nstopped; what was finished is kept: go on with gyrax sweep {study}", err=True)
        sys.exit(130)
    except (Exception, SystemExit) as error:
        if (words := by_user(error)) is not None:
            _fail(ValueError(words))
        if not isinstance(error, OSError | ValueError | TypeError | ImportError | RuntimeError):
            raise  # a mistake in gyrax
        _fail(error)
    click.echo(repr(how_far(given["store"])))


@main.command("status")
@click.argument("store", type=click.Path(path_type=Path))
def status(store: Path) -> None:
    """How far the sweep is that writes into STORE, or the fits of many subjects."""
    try:
        from .scale import Status
        from .scale import status as how_far

        found = how_far(store)
        # a table's own words leave out columns and rows of what is long
        click.echo(repr(found) if isinstance(found, Status) else found.to_string(float_format="{:.4g}".format))
    except (OSError, ValueError, ImportError) as error:
        _fail(error)


def _precision(x64: bool) -> None:
    if x64:
        import jax

        jax.config.update("jax_enable_x64", True)


def _workers(cluster: Path | None) -> contextlib.AbstractContextManager[Any]:
    """A client of the workers that a file describes; None without one."""
    if cluster is None:
        return contextlib.nullcontext()
    from .scale.clusters import client_of

    return client_of(cluster)


def _every_core() -> None:
    """Has JAX use all cores; where it is at work already, as within a notebook, it stays as it is."""
    from ._devices import devices

    with contextlib.suppress(RuntimeError):
        devices(cpu="all")


def _line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    return " ".join(text.split())


def _fail(error: Exception, more: str = "") -> NoReturn:
    """One readable line, no traceback."""
    click.echo(f"gyrax: {_line(error)}{more}", err=True)
    sys.exit(2)


def _folder(out: Path | None, resume: bool) -> Path:
    """Where results go: never into a folder that holds others."""
    if out is None:
        taken = sorted(Path().glob(f"{_DEFAULT_OUT}*/config.yaml"), key=lambda p: p.stat().st_mtime)
        if resume:
            if not taken:
                raise ValueError(f"there is no {_DEFAULT_OUT} here to go on with: name its folder with --out")
            return taken[-1].parent
        number = 1
        while Path(f"{_DEFAULT_OUT}-{number}" if number > 1 else _DEFAULT_OUT).exists():
            number += 1
        return Path(f"{_DEFAULT_OUT}-{number}" if number > 1 else _DEFAULT_OUT)
    if resume and not (out / "config.yaml").exists():
        raise ValueError(f"{out} holds no fit to go on with: leave out --resume to begin one there")
    if not resume and out.exists() and (not out.is_dir() or any(not passes(path) for path in out.iterdir())):
        raise ValueError(f"{out} is not empty: go on with the fit there by --resume, or name another --out")
    return out


def _settings(folder: Path, given: dict[str, Any], resume: bool, smoke: bool) -> "Settings":
    """The settings of a new fit, or those that the fit to go on with began with."""
    from .study import Settings
    from .study.config import read_settings

    for name in ("connectome", "atlas", "maps", "prior"):
        if name in given:
            given[name] = _absolute(given[name])
    for name in ("fit", "test"):
        if name in given:
            given[name] = tuple(map(_absolute, given[name]))
    if "connectome" in given and "fit" not in given and given["connectome"] != "dk84":
        raise ValueError(
            "a connectome of your own needs scans of your own: give --fit, a file with series or functional connectivity"
        )
    if not resume:
        settings = Settings(**given)
        return settings.smaller() if smoke else settings
    kept = read_settings(folder)
    for name, value in given.items():
        if getattr(kept, name) != value:
            raise ValueError(
                f"the fit in {folder} was begun with {name} {getattr(kept, name)}, not {value}: leave the option out, or begin another"
            )
    return kept


def _absolute(path: str) -> str:
    """A fit that goes on may be asked to from another folder."""
    return path if path == "dk84" else str(Path(path).absolute())
