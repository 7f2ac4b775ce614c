"""Every test runs without plots on a screen, and in float64 with the package's annotations checked."""

import ctypes
import gc
import importlib
import os
import signal
import sys

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")  # what has every test; float32 repeats those that depend on it

import hypothesis
import jax
from jaxtyping import install_import_hook

DOUBLE = bool(jax.config.jax_enable_x64)
if "--slow" in sys.argv:
    os.environ["GYRAX_SLOW"] = "1"  # for workers, which know no arguments
SLOW = "GYRAX_SLOW" in os.environ
AS_USED = "GYRAX_AS_USED" in os.environ  # what the sessions lowest and newest set
# What runs for milliseconds need not be compiled for speed: that saves a quarter to a half of compiling. Programs are compiled as
# users have it in float32, which is JAX's default, and by lowest and newest.
FAST = SLOW or (DOUBLE and not AS_USED)
jax.config.update("jax_disable_most_optimizations", FAST)
# Annotations say shapes and kinds of numbers, not how many digits: checked once, by the quick suite, for that more than doubles
# tracing.
hook = install_import_hook("gyrax", "typechecker.check") if DOUBLE and not SLOW and not AS_USED else None
import gyrax  # noqa: E402

if hook is not None:
    if (
        "--all" in sys.argv
    ):  # tracing takes twice as long; what the study says of wrong kinds is its own, and tested as such
        for room in ("search", "inference"):
            importlib.import_module(f"gyrax.{room}")
    hook.uninstall()

import equinox as eqx  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

hypothesis.settings.register_profile("gyrax", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("gyrax")

__all__ = ["gyrax"]

#: Files, figures and the bookkeeping of loops do not depend on the precision: once is enough.
ONCE = (
    "test_cli.py",
    "test_connectome_formats.py",
    "test_datasets.py",
    "test_descent.py",
    "test_io_*.py",
    "test_plot*.py",
)

#: GB of memory from which on a worker forgets between tests what it has compiled.
MOST_MEMORY = 2.0


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="the slow tests too")
    parser.addoption("--slow", action="store_true", help="only the slow tests, which a run without --all leaves out")


def pytest_ignore_collect(collection_path, config):
    """Leaves out files that need no float32, and what starts the queue of a cluster (`nox -s cluster`), unless they are named."""
    named = any(collection_path.name in str(argument) for argument in config.args)
    if (
        collection_path.name == "cluster"
        and collection_path.is_dir()
        and not any("tests/cluster" in str(x) for x in config.args)
    ):
        return True
    return True if not DOUBLE and not named and any(map(collection_path.match, ONCE)) else None


def pytest_collection_finish():
    """What was imported stays: the collector of garbage, a twentieth of the time, need not look at it again and again."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def pytest_collection_modifyitems(config, items):
    """Leaves out tests marked `once` in float32, and slow ones unless they are asked for: by an option or by name."""
    every = config.option.all or any("::" in str(argument) for argument in config.args)
    kept, left = [], []
    for item in items:
        if not DOUBLE and item.get_closest_marker("once"):
            continue
        # What is slow in both precisions repeats itself in float32 if all is asked for, or if it says so.
        again = DOUBLE or any("float32" in mark.args for mark in item.iter_markers("slow"))
        long = item.get_closest_marker("long") is not None
        wanted = _slow(item) and again and not long if config.option.slow else every or not (_slow(item) or long)
        (kept if wanted else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


def _slow(item) -> bool:
    """Whether the quick suite leaves a test out, in the precision it would run in."""
    marks = list(item.iter_markers("slow"))
    return any(not mark.args or ("float64" if DOUBLE else "float32") in mark.args for mark in marks)


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """What one worker has compiled, the others load, and later runs if there is a folder for it: most of the time goes there."""
    if jax.__version_info__ < (0, 10):
        return  # jaxlib 0.6.0 loads loops from the cache that take no step, or crash
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or tmp_path_factory.getbasetemp().parent / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # small ones are most of them


@pytest.fixture(scope="module")
def compiled_fast():
    """For files of which no test runs for long, in float32 too."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", FAST)


@pytest.fixture
def compiled_as_used():
    """For what depends on the last bit that the compiler's fused products leave."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", FAST)


@pytest.fixture(autouse=True)
def forgotten():
    """Programs that no later test runs stay in memory: gigabytes of them by the end of the suite."""
    yield
    if _memory() > MOST_MEMORY:
        eqx.clear_caches()
        jax.clear_caches()
        gc.collect()
        _give_back()


def _memory() -> float:
    """GB that the process holds; none where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9
    except OSError:
        return 0.0


def _give_back() -> None:
    """Hands freed memory back, which glibc otherwise keeps."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


@pytest.fixture
def rounding() -> float:
    """Relative differences that rounding alone explains, in the precision the tests run in."""
    return 2e-5 if jnp.result_type(float) == jnp.float32 else 1e-11


@pytest.fixture
def key():
    return jax.random.key(7)


@pytest.fixture
def small_connectome() -> "gyrax.Connectome":
    """Five regions, directed, one pair unconnected, delays of 2 to 8 ms at 3 mm/ms."""
    rng = np.random.default_rng(3)
    weights = rng.uniform(0.1, 1.0, (5, 5))
    np.fill_diagonal(weights, 0)
    weights[1, 3] = 0
    lengths = rng.uniform(6.0, 24.0, (5, 5))
    lengths[0, 1], lengths[4, 2] = 6.0, 24.0
    np.fill_diagonal(lengths, 0)
    return gyrax.Connectome(weights, lengths, labels=["A", "B", "C", "D", "E"])


@pytest.fixture
def ctrl_c():
    """Ctrl-C, also where the suite runs in the background of a shell, which has its processes ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
