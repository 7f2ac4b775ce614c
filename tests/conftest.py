"""Every test runs with the package's annotations checked, and without plots on a screen."""

import os

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from jaxtyping import install_import_hook

hook = install_import_hook("gyrax", "typechecker.check")
import gyrax  # noqa: E402

hook.uninstall()

import hypothesis  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

hypothesis.settings.register_profile("gyrax", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("gyrax")

__all__ = ["gyrax"]

#: Files, figures and the bookkeeping of loops do not depend on the precision: once is enough.
collect_ignore_glob = []
if jax.config.jax_enable_x64:
    collect_ignore_glob += [
        "test_cli.py",
        "test_connectome_formats.py",
        "test_datasets.py",
        "test_descent.py",
        "test_io_*.py",
        "test_plot*.py",
    ]


def pytest_collection_modifyitems(items):
    """Tests marked `once` are of how a run is cut, grouped or traced: in float64, where nothing hides behind rounding."""
    if not jax.config.jax_enable_x64:
        items[:] = [item for item in items if item.get_closest_marker("once") is None]


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """What one worker has compiled, the others load: most of the time of the tests is compilation."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.getbasetemp().parent / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


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
