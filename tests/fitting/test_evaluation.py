"""Unseen noise, and what limits a fit, against plain loops and against worlds whose limits are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gyrax as gx


@pytest.fixture
def model():
    return gx.models.WongWang()


def test_evaluate_equals_a_loop_over_keys(model, key, rounding):
    keys = jax.random.split(key, 4)
    found = gx.evaluate(model, lambda m, k: {"x": m.w + jax.random.normal(k), "y": jax.random.normal(k, (2,))}, keys)
    assert found["x"].shape == (4,) and found["y"].shape == (4, 2) and len(found) == 4
    for i, k in enumerate(keys):
        np.testing.assert_allclose(found["x"][i], 0.6 + jax.random.normal(k), rtol=rounding)
        np.testing.assert_allclose(found["y"][i], jax.random.normal(k, (2,)), rtol=rounding)
    values = [0.6 + float(jax.random.normal(k)) for k in keys]
    np.testing.assert_allclose(found.mean["x"], np.mean(values), rtol=10 * rounding)
    np.testing.assert_allclose(found.sd["x"], np.std(values, ddof=1), rtol=10 * rounding)
    assert found.mean["y"].shape == (2,)
    data = found.to_xarray()
    assert data["y"].dims == ("seed", "y_0") and dict(data.sizes)["seed"] == 4
    assert "on 4 noise seeds" in repr(found) and "(2,) each" in repr(found)


def test_evaluate_takes_losses_and_bare_arrays(model, key):
    keys = jax.random.split(key, 2)
    assert set(gx.evaluate(model, lambda m, k: (m.w, {"term": m.a}), keys).values) == {"loss", "term"}
    one = gx.evaluate(model, lambda m, k: m.w, keys[:1])
    assert one["value"].shape == (1,) and np.isnan(one.sd["value"])
    with pytest.raises(KeyError, match="nothing here is called 'r'; there are value"):
        one["r"]
    with pytest.raises(TypeError, match="expected an array or a dict of named arrays; 'x' is list"):
        gx.evaluate(model, lambda m, k: {"x": [m.w, m.w]}, keys)


def world(random, reliability, agreement, seeds=40, entries=4000):
    """Recordings that correlate by `reliability` with each other, of a model that without noise does by `agreement`."""
    truth, other = random.normal(size=(2, entries))
    target = agreement * truth + np.sqrt(1 - agreement**2) * other
    noise = random.normal(size=(seeds, entries))
    return np.sqrt(reliability) * truth + np.sqrt(1 - reliability) * noise, target


@given(reliability=st.floats(0.1, 0.95), agreement=st.floats(0.1, 1.0), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_ceiling_is_that_of_a_world_made_so(reliability, agreement, seed):
    found = gx.ceiling(*world(np.random.default_rng(seed), reliability, agreement))
    np.testing.assert_allclose(found.reliability, reliability, atol=0.04)
    np.testing.assert_allclose(found.without_noise, agreement, atol=0.06)
    np.testing.assert_allclose(found.highest, np.sqrt(reliability), atol=0.04)
    assert found.unseen <= found.longer(2) <= found.longer(5) <= found.without_noise + 1e-9
    np.testing.assert_allclose(found.longer(1), found.unseen, atol=1e-9)


@pytest.mark.once
def test_longer_recordings_and_means_over_seeds_reach_what_is_said():
    """A recording k times as long is the mean of k: its correlation with the target is measured, not derived."""
    random = np.random.default_rng(3)
    recordings, target = world(random, 0.5, 0.8)
    found = gx.ceiling(recordings, target)
    longer = recordings.reshape(10, 4, -1).mean(1)
    measured = np.mean([np.corrcoef(x, target)[0, 1] for x in longer])
    np.testing.assert_allclose(found.longer(4), measured, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(recordings.mean(0), target)[0, 1], found.without_noise, atol=0.02)


@pytest.mark.once
@pytest.mark.parametrize(
    ("reliability", "agreement", "trained", "limit"),
    [(0.9, 0.5, None, "model"), (0.3, 0.95, None, "duration"), (0.8, 0.95, 0.99, "noise learnt by heart")],
)
def test_the_limit_is_named(reliability, agreement, trained, limit):
    found = gx.ceiling(*world(np.random.default_rng(1), reliability, agreement), trained)
    assert found.limit == limit and f"limited by: {limit}" in repr(found)
    assert ("on the training noise" in repr(found)) == (trained is not None)


def test_matrices_count_off_their_diagonal():
    random = np.random.default_rng(0)
    matrices, target = random.normal(size=(3, 6, 6)), random.normal(size=(6, 6))
    found = gx.ceiling(matrices, target)
    apart = ~np.eye(6, dtype=bool)
    expected = np.mean([np.corrcoef(m[apart], target[apart])[0, 1] for m in matrices])
    np.testing.assert_allclose(found.unseen, expected)
    matrices[:, range(6), range(6)] = 1e6
    np.testing.assert_allclose(gx.ceiling(matrices, target).unseen, expected)


@pytest.mark.once
def test_what_has_no_ceiling_is_refused():
    target = np.arange(5.0)
    with pytest.raises(ValueError, match=r"found has shape \(1, 5\): expected two seeds or more .* \(5,\)"):
        gx.ceiling(np.ones((1, 5)), target)
    with pytest.raises(ValueError, match="finite and vary"):
        gx.ceiling(np.ones((3, 5)), target)
    with pytest.raises(ValueError, match="finite and vary"):
        gx.ceiling(np.full((3, 5), jnp.nan), target)
