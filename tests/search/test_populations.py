"""Populations on losses without gradients, with noise, and with holes."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from valleys import LOWEST, POINT, at, find, holed, noisy

import gyrax as gx

evolve = gx.search.evolve


def bowl(m, key):
    """Stairs: the gradient is zero everywhere."""
    off = at_jax(m) - jnp.asarray(LOWEST)
    return jnp.ceil(200 * (off**2).sum()) / 200, {"a": m.a}


def at_jax(m):
    return jnp.concatenate([jnp.stack([m.a, m.b]), m.x])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cma", "sep-cma"])
def test_finds_the_lowest_stair(method):
    found = find(evolve, bowl, method=method, generations=80)
    np.testing.assert_allclose(at(found.model), LOWEST, atol=0.15)
    assert found.best_loss == min(np.min(found.history[name]) for name in ("lowest", "loss")) <= 0.01
    assert found.model.frozen is POINT.frozen and found.history["spread"][-1] < found.history["spread"][0]
    np.testing.assert_allclose(found.history["a"][0], POINT.a)  # of the mean, which the start is


@pytest.mark.slow("float32")
def test_candidates_that_break_rank_last():
    found = find(evolve, holed, generations=150)
    np.testing.assert_allclose(at(found.model)[:2], LOWEST[:2], atol=0.1)
    assert np.isfinite(found.history["lowest"]).all()


@pytest.mark.slow
def test_under_noise_it_is_the_mean_that_is_found_and_not_the_luckiest():
    found = find(evolve, noisy, generations=60, population=16)
    keys = gx.Validation().drawn(jax.random.key(0))
    wanted = np.mean([noisy(found.model, key)[0] for key in keys])
    assert found.best_loss == pytest.approx(wanted, rel=1e-4)
    assert found.best_loss > found.history["lowest"].min() and found.learnt
    alone = find(evolve, noisy, generations=10, population=16, validation=None)
    np.testing.assert_array_equal(at(alone.model), at(alone.last))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:nothing was learnt")  # in so few generations
def test_goes_on_from_a_file_as_if_it_had_not_stopped(tmp_path):
    whole = find(evolve, noisy, generations=10, population=16)
    find(evolve, noisy, generations=5, population=16, checkpoint=tmp_path / "fit.npz")
    again = find(evolve, noisy, generations=10, population=16, checkpoint=tmp_path / "fit.npz")
    for name in whole.history:
        np.testing.assert_array_equal(whole.history[name], again.history[name])
    np.testing.assert_array_equal(at(whole.model), at(again.model))
    with pytest.raises(ValueError, match="the method differs"):
        find(evolve, noisy, generations=10, population=16, sd=0.5, checkpoint=tmp_path / "fit.npz")


@pytest.mark.once
@pytest.mark.slow
def test_what_is_found_is_no_worse_than_the_start():
    start = at_jax(POINT)

    def near(m, key):
        return ((at_jax(m) - start) ** 2).sum()

    found = find(evolve, near, generations=2, sd=1.0)
    assert found.best_loss < 1e-12 and found.history["lowest"].min() > 0
    np.testing.assert_allclose(at(found.model), at(POINT), rtol=1e-6)

    def hardly(m, key):
        return near(m, key) + jnp.where(jnp.abs(at_jax(m) - start).max() > 1e-3, jnp.inf, 0.0)

    with pytest.warns(
        RuntimeWarning, match=r"no candidate's loss was finite in 3 of 3 generations, the first of them 0.*sd=0\.1"
    ):
        found = find(evolve, hardly, generations=3, sd=1.0)
    np.testing.assert_allclose(at(found.model), at(POINT), rtol=1e-6)


@pytest.mark.slow
def test_validation_begins_at_the_start():
    found = find(evolve, noisy, generations=2, population=16)
    keys = gx.Validation().drawn(jax.random.key(0))
    assert found.history["validation"][0] == pytest.approx(np.mean([noisy(POINT, key)[0] for key in keys]), rel=1e-4)


@pytest.mark.once
def test_says_what_is_wrong():
    with pytest.raises(ValueError, match="positive finite"):
        find(evolve, bowl, sd=np.inf)
    with pytest.raises(FloatingPointError, match="no candidate's loss was finite"):
        find(evolve, lambda m, key: m.a * jnp.nan, generations=20)
    with pytest.raises(ValueError, match="sd, how far the first candidates scatter"):
        find(evolve, bowl, sd=0.0)
    with pytest.raises(ValueError, match="population"):
        find(evolve, bowl, population=2)


@pytest.mark.once
def test_a_package_that_is_missing_is_named_with_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "evosax", None)
    monkeypatch.setitem(sys.modules, "evosax.algorithms", None)
    with pytest.raises(ImportError, match=r"pip install 'gyrax\[search\]'"):
        find(evolve, bowl, population=23)


@pytest.mark.once
def test_a_warning_points_to_the_line_that_searched():
    with pytest.warns(RuntimeWarning, match="no candidate's loss was finite") as said:
        find(evolve, lambda m, key: jnp.where(m.a == POINT.a, 0.0, jnp.inf) + 0 * at_jax(m).sum(), generations=1)
    assert said[0].filename.endswith("valleys.py")  # of which `find` is
