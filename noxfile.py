"""Every check of the project: `nox` runs all of them, `nox -s tests` one."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

# What a Python imports is compiled to bytecode once: where that may not be kept, each of the hundred processes that the sessions
# start compiles it again, for four seconds and more.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT = Path(__file__).parent
RUFF = "ruff==0.17.6"
PYRIGHT = "pyright[nodejs]==1.1.414"
MUTMUT = "mutmut==3.8.1"
#: Modules below src/gyrax whose faults, put in one at a time, these tests are to catch. They work in seconds each: whoever
#: adds a module takes the tests that are its own.
MUTATED = {
    "cli.py": ["tests/study/test_cli_options.py"],
    "parameters/domains.py": ["tests/parameters/test_domains.py"],
}
#: The share of faults that are to be caught, those in tests/equivalent_mutants.txt apart, which change nothing.
CAUGHT = 0.95
#: What of the suite the sessions `lowest` and `newest` run: what touches other packages most, a minute or two in all.
OF_VERSIONS = [
    "tests/test_simulate.py",
    "tests/fitting/test_checkpoint.py",
    "tests/fitting/test_descent.py",
    "tests/fitting/test_evaluation.py",
    "tests/scale/test_axes.py",
    "tests/scale/test_stores.py",
    "tests/scale/test_sweeping.py",
    "tests/test_devices.py",
    "tests/anatomy/test_connectome.py",  # which those of formats import
    "tests/formats",
    "tests/inference/test_density.py",
    "tests/io",
    "tests/plot/test_plot.py",
    "tests/search",
    "tests/study/test_cli_options.py",
]
COMPILED = [
    "h5py",
    "jaxlib",
    "matplotlib",
    "netcdf4",
    "numcodecs",
    "numpy",
    "pandas",
    "pyyaml",
    "scikit-learn",
    "scipy",
]
PEERS = {
    "tvboptim": ["tvboptim==0.4.0"],
    "tvb-library": ["tvb-library==2.10"],
    "neurolib": ["neurolib==0.6.2"],
    "vbjax": ["vbjax==0.0.19", "tqdm"],  # which it imports and does not ask for
    "brainmass": ["brainmass==0.1.1"],
}
#: Peers of studies alone.
FITTERS = {"cubnm": ["cubnm==0.1.0"]}

WHEEL_CHECK = """
import sys
from importlib.metadata import files
from importlib.resources import files as resources
from pathlib import Path

import gyrax

root, here = Path(sys.argv[1]), Path(gyrax.__file__)
assert not here.is_relative_to(root / "src"), f"imported from the repository: {here}"
assert gyrax.__version__ == sys.argv[2], gyrax.__version__
assert (resources("gyrax") / "py.typed").is_file(), "py.typed is missing"
shipped = {p.name for p in (resources("gyrax") / "data").iterdir()}
wanted = {p.name for p in (root / "src/gyrax/data").iterdir() if p.is_file()}
assert any(n.endswith(".npz") for n in wanted) and wanted <= shipped, f"data: wanted {wanted}, got {shipped}"
assert any(p.parts[-2:] == ("licenses", "LICENSE") for p in files("gyrax")), "LICENSE is missing"
print("gyrax", gyrax.__version__, "from", here.parent)
"""


@nox.session
def tests(session: nox.Session) -> None:
    """The quick suite, in float64; `-- --all` for the slow tests too, `-- --slow` for them alone."""
    _suite(session, double=True)


@nox.session
def single(session: nox.Session) -> None:
    """The same in float32, of what depends on the precision."""
    _suite(session, double=False)


def _suite(session: nox.Session, double: bool) -> None:
    session.install("-e", ".[test]")
    # worksteal: files that follow each other stay with one worker, which has compiled what they share
    command = ["pytest", "-n", "auto", "--dist", "worksteal", *session.posargs]
    session.run(*command, env=_compiled(session) | {"JAX_ENABLE_X64": str(int(double))})


def _compiled(session: nox.Session) -> dict[str, str]:
    """Where the sessions with the newest JAX here keep what they compile, also what took no time: each would again."""
    folder = str(Path(session.cache_dir).resolve() / "compiled")
    return {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


@nox.session
def lowest(session: nox.Session) -> None:
    """Part of the suite with every direct dependency at the lowest version that pyproject.toml allows, on the oldest Python here."""
    _suite_of_versions(session, min(_interpreters().items())[1], "lowest-direct")


@nox.session
def newest(session: nox.Session) -> None:
    """The same part with the newest versions that install, on the newest Python here."""
    _suite_of_versions(session, max(_interpreters().items())[1], "highest")


def _interpreters() -> dict[tuple[int, int], str]:
    """The Pythons of this machine from 3.11 on, by version: this one, those on the path, pyenv's."""
    found = {}
    folders = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.*/bin"))
    for minor in range(11, 30):
        name = f"python3.{minor}"
        places = [shutil.which(name), *(folder / name for folder in folders)]
        if sys.version_info[:2] == (3, minor):
            places.insert(0, sys.executable)
        for place in filter(None, places):  # one on the path may be a shim for what is not installed
            command = [str(place), "-c", "import sys, venv; print(sys.version_info[1])"]
            if Path(place).exists() and subprocess.run(command, capture_output=True, text=True).stdout == f"{minor}\n":
                found.setdefault((3, minor), str(place))
    return found


def _suite_of_versions(session: nox.Session, python: str, resolution: str) -> None:
    """Installs the package in an environment of its own, says what came, and runs the tests in it."""
    session.install("uv")
    here = _environment(session, python, resolution, "-e", f"{ROOT}[test]")
    session.run("uv", "pip", "list", "--python", str(here))
    command = [str(here / "bin" / "python"), "-m", "pytest", "-n", "auto", "--dist", "worksteal"]
    settings = {"JAX_ENABLE_X64": "1", "GYRAX_AS_USED": "1"}  # compiled for speed; annotations are checked in `tests`
    session.run(*command, *(session.posargs or OF_VERSIONS), env=settings, external=True)


def _environment(session: nox.Session, python: str, resolution: str, *packages: str) -> Path:
    """An environment of its own for a Python, with these packages."""
    here = Path(session.create_tmp()) / "environment"
    session.run("uv", "venv", "--quiet", "--clear", "--python", python, str(here))
    # of what takes a compiler, only what this Python has a wheel of
    wheels = [f"--only-binary={name}" for name in COMPILED]
    install = ["uv", "pip", "install", "--quiet", "--python", str(here), "--resolution", resolution]
    session.run(*install, *wheels, *packages)
    return here


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format."""
    session.install(RUFF)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Static types of the package."""
    session.install("-e", ".", PYRIGHT)
    session.run("pyright", *session.posargs)


@nox.session
def doctest(session: nox.Session) -> None:
    """The examples in the docstrings."""
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "auto", "--doctest-modules", "src/gyrax", *session.posargs, env=_compiled(session))


@nox.session
def notebooks(session: nox.Session) -> None:
    """Every notebook, top to bottom in its small form, on copies."""
    session.install("-e", ".[notebooks]")
    names = sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not names:
        session.error("there are no notebooks")
    path = os.pathsep.join([*session.bin_paths, os.environ.get("PATH", "")])
    settings = os.environ | _compiled(session) | {"PATH": path, "GYRAX_SMOKE": "1"}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:  # most of it compiles, on one core

        def execute(name: Path) -> int:
            jupyter = shutil.which("jupyter", path=path) or "jupyter"
            command = [jupyter, "execute", "--timeout=600", shutil.copy(name, folder)]
            return subprocess.run(command, cwd=folder, env=settings).returncode

        failed = [name.name for name, code in zip(names, pool.map(execute, names), strict=True) if code]
    if failed:
        session.error(f"these notebooks failed: {', '.join(failed)}")


@nox.session(reuse_venv=False)
def package(session: nox.Session) -> None:
    """The sdist and the wheel made from it, installed and used outside the repository."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        session.run("python", "-m", "build", "--outdir", folder, str(ROOT))
        session.install(str(next(out.glob("*.whl"))))
        version = nox.project.load_toml(ROOT / "pyproject.toml")["project"]["version"]
        with session.chdir(folder):
            session.run("python", "-c", WHEEL_CHECK, str(ROOT), version)
            session.run("gyrax", "fit", "--smoke", "--out", "run")
        summary = json.loads((out / "run" / "summary.json").read_text(), parse_constant=_no_constant)
        if not isinstance(summary, dict) or not summary:
            session.error(f"summary.json holds {summary!r}, not an object with entries")
        session.log(f"summary.json: {', '.join(summary)}")


def _no_constant(name: str) -> None:
    raise ValueError(f"summary.json holds {name}, which is not JSON")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation. It is read from the sources, so the package is not installed."""
    session.install(*nox.project.load_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]["docs"])
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Speed beside the peers on the oldest and the newest Python here; a quiet machine for an hour, `-- --quick` for a look."""
    session.install("uv")
    results: list[str] = []
    for python in _ends():
        here = _environment(session, python, "highest", "-e", str(ROOT))
        peers = [f"--peer={name}={_peer(session, name, python)}" for name in PEERS]
        results.append(str(Path(session.create_tmp()) / f"results{len(results)}.json"))
        command = [str(here / "bin" / "python"), "benchmarks/run.py"]
        session.run(*command, *peers, f"--results={results[-1]}", *session.posargs, external=True)
    page = [] if "--only" in session.posargs else ["--out", "docs/benchmarks.md"]
    session.run(*command, "--page", *results, *page, external=True)


def _ends() -> list[str]:
    """The oldest and the newest Python here."""
    pythons = _interpreters()
    return list(dict.fromkeys((pythons[min(pythons)], pythons[max(pythons)])))


def _peer(session: nox.Session, name: str, interpreter: str = "3.11") -> Path:
    """The Python of its environment. One that does not install is said to have failed in the table."""
    folder = Path(session.create_tmp()) / "-".join((name, *Path(interpreter).parts[-3:]))
    python = folder / "bin" / "python"
    if not python.exists():
        session.run("uv", "venv", "--quiet", "--python", interpreter, str(folder))
    install = ["uv", "pip", "install", "--quiet", "--python", str(python), *(PEERS | FITTERS)[name]]
    session.run(*install, success_codes=range(256))
    return python


@nox.session(default=False, python="3.11")
def studies(session: nox.Session) -> None:
    """Notebooks 04 to 06 beside tvboptim, and scans beside cubnm, in docs/studies, an hour; `-- fmri` for one, `-- --smoke --out FOLDER` for a look.

    `-- analysis`: gx.analysis beside tvboptim, `-- pairs`: couplings of pairs and plastic ones, minutes. `-- recovery`: known parameters found again by every method, beside scipy, minutes.
    `-- cohort`: twenty simulated subjects as one model, minutes. `-- ensembles`: sweeps on every core beside tvboptim's ParallelExecution, minutes.
    """
    session.install("-e", ".[notebooks]", "nbconvert", "uv")
    named = [argument for argument in session.posargs if not argument.startswith("-")]
    if "recovery" in named:
        session.install("-e", ".[inference,search]")
        others = [argument for argument in session.posargs if argument != "recovery"]
        session.run("python", "benchmarks/recovery.py", *others)
        return
    if "cohort" in named:
        session.install("-e", ".[search]")
        others = [argument for argument in session.posargs if argument != "cohort"]
        session.run("python", "benchmarks/cohort.py", *others)
        return
    for beside in ("analysis", "ensembles", "pairs"):
        if beside in named:
            others = [argument for argument in session.posargs if argument != beside]
            session.run("python", f"benchmarks/{beside}.py", f"--tvboptim={_peer(session, 'tvboptim')}", *others)
            return
    if "scans" in named or not set(named) & {"fmri", "meg", "connectivity"}:
        others = [argument for argument in session.posargs if argument != "scans"]
        session.run("python", "benchmarks/scans.py", f"--cubnm={_peer(session, 'cubnm')}", *others)
    if "scans" not in named:
        python = _peer(session, "tvboptim")
        session.run("python", "benchmarks/studies.py", f"--tvboptim={python}", *session.posargs)


@nox.session(default=False, python="3.11")
def reference(session: nox.Session) -> None:
    """Makes anew what the peers themselves say in tests/data, but for tvb-data's connectivities; minutes."""
    session.install("uv")
    data = "tests/data"
    for script, peer, *paths in (
        ("tvb", "tvb-library", f"{data}/tvb.npz"),
        ("tvb_models", "tvb-library", "src/gyrax/data/dk84.npz", f"{data}/tvb_models.npz", f"{data}/tvb_networks.npz"),
        ("tvb_couplings", "tvb-library", f"{data}/tvb_couplings.npz"),
        ("tvb_hrf", "tvb-library"),
        ("neurolib_fcd", "neurolib"),
        ("neurolib_models", "neurolib"),
        ("tvboptim_exc_inh", "tvboptim"),
    ):
        session.run(str(_peer(session, peer)), f"scripts/reference_{script}.py", *paths, external=True)


@nox.session(default=False, python="3.11")
def mutants(session: nox.Session) -> None:
    """Faults put into modules, one at a time, that their tests are to catch; minutes to hours, `-- cli.py` for one module."""
    session.install("-e", ".[test]", MUTMUT)
    short = []
    for module in session.posargs or MUTATED:
        folder = Path(session.create_tmp()) / module.replace("/", "_")
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("src", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        # What takes longest to import is imported once. The package is not: JAX must not have begun when a process forks,
        # and a fault in what runs at import must be there then.
        (folder / "preload.txt").write_text(
            "\n".join(("jax.numpy", "equinox", "diffrax", "optax", "xarray", "hypothesis"))
        )
        settings = {
            "source_paths": ["src"],
            "only_mutate": [f"src/gyrax/{module}"],
            "pytest_add_cli_args_test_selection": MUTATED[module],
            "process_isolation": "forkserver",
            "forkserver_warmup": "import",
            "preload_modules_file": "preload.txt",
            "timeout_constant": 600.0,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        project = (ROOT / "pyproject.toml").read_text()
        (folder / "pyproject.toml").write_text("\n".join([project, "[tool.mutmut]", *lines, ""]))
        with session.chdir(folder):
            session.run("mutmut", "run", env={"JAX_ENABLE_X64": "1"})
            found = session.run("mutmut", "results", "--all", "true", silent=True) or ""
            status = dict(line.strip().split(": ", 1) for line in found.splitlines() if "__mutmut_" in line)
            left = {name: session.run("mutmut", "show", name, silent=True) for name, x in status.items() if x in MISSED}
        known = _equivalent()
        alive = [name for name, shown in left.items() if _change(shown or "") not in known]
        count = len(status) - (len(left) - len(alive))
        session.log(f"{module}: {count - len(alive)} of {count} faults caught, {len(left) - len(alive)} change nothing")
        for name in alive:
            session.log(f"not caught: {name}\n{left[name]}")
        if count - len(alive) < CAUGHT * count:
            short.append(module)
    if short:
        session.error(f"fewer than {CAUGHT:.0%} of the faults were caught in {', '.join(short)}")


#: What mutmut calls a fault that no test noticed.
MISSED = ("survived", "no tests", "not checked")


def _change(shown: str) -> tuple[str, ...]:
    """What a fault takes away and puts in, whatever its number."""
    lines = [line for line in shown.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return tuple(line[0] + " " + line[1:].strip() for line in lines if line[1:].strip())


def _equivalent() -> set[tuple[str, ...]]:
    """Faults that change nothing anyone could see: blocks of lines with - and +, each under its reason."""
    blocks = (ROOT / "tests" / "equivalent_mutants.txt").read_text().split("\n\n")
    return {change for block in blocks if (change := _change(block))}


@nox.session(default=False)
def cluster(session: nox.Session) -> None:
    """Fits by jobs of a real SLURM of one node, started for it; needs root and `apt-get install slurm-wlm munge`, a minute or two."""
    session.install("-e", ".[test]")
    session.run("pytest", "tests/cluster", *session.posargs, env=_compiled(session) | {"JAX_ENABLE_X64": "1"})


@nox.session(default=False, python="3.11")
def fuzz(session: nox.Session) -> None:
    """Broken files for every reader, 2000 of each format, an hour; `-- --budget 20000 --seed 1`, `-- --only mat5 npz` for some."""
    session.install("-e", ".[test]")
    session.run("python", "tests/formats/fuzzing.py", *session.posargs, env={"JAX_ENABLE_X64": "1"})


@nox.session(default=False)
def regress(session: nox.Session) -> None:
    """Times of our own hot paths on the oldest and the newest Python here, each with its newest JAX.

    `-- --benchmark-autosave` keeps them, `-- --benchmark-compare` sets them beside the last of the same Python.
    """
    session.install("uv")
    for python in _ends():
        here = _environment(session, python, "highest", "-e", f"{ROOT}[test]", "pytest-benchmark")
        session.run("uv", "pip", "list", "--python", str(here))
        command = [str(here / "bin" / "python"), "-m", "pytest", "benchmarks/test_hot_paths.py", "-p", "no:xdist"]
        session.run(*command, *session.posargs, external=True)


@nox.session(default=False)
def kills(session: nox.Session) -> None:
    """Kills `gyrax fit`, `gx.fit`, `gx.tune`, sweeps and their workers at random moments, and compares what comes out in the end; minutes."""
    session.install("-e", ".[cluster,io]")
    session.run("python", "scripts/kills.py", *session.posargs)
