"""Grids and ensembles against plain loops."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx

SPACE = {"w": [0.3, 0.6, 0.9], "I_o": [0.2, 0.35], "b": [-5.0, 0.0, 5.0, 50.0]}


def function(m, key):
    return {"noisy": m.w * m.I_o + m.b * jax.random.normal(key), "a": m.a + m.b}


@pytest.fixture
def model():
    return gx.models.WongWang()


def test_a_sweep_equals_a_plain_loop(model, key, rounding):
    grid = gx.sweep(model, function, SPACE, key=key, realisations=3)
    assert dict(grid.sizes) == {"w": 3, "I_o": 2, "b": 4} and set(grid.data_vars) == {"noisy", "a"}
    for name, values in SPACE.items():
        np.testing.assert_array_equal(grid[name], values)
    noise = np.mean([jax.random.normal(k) for k in jax.random.split(key, 3)])
    for i, w in enumerate(SPACE["w"]):
        for j, current in enumerate(SPACE["I_o"]):
            for k, b in enumerate(SPACE["b"]):
                point = grid.isel(w=i, I_o=j, b=k)
                np.testing.assert_allclose(point["noisy"], w * current + b * noise, rtol=10 * rounding)
                np.testing.assert_allclose(point["a"], 270.0 + b, rtol=10 * rounding)
    assert grid["noisy"].dims == ("w", "I_o", "b")


@pytest.mark.parametrize("batch", [1, 7, 24, 1000])
def test_batches_change_nothing(batch, model, key, rounding):
    whole = gx.sweep(model, function, SPACE, key=key)
    parts = gx.sweep(model, function, SPACE, key=key, batch=batch)
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], rtol=rounding, atol=rounding)


def test_batches_share_one_compilation(model):
    traces = []

    def counting(m, key):
        traces.append(1)
        return m.w

    grid = gx.sweep(model, counting, {"w": np.linspace(0.1, 1.9, 10)}, batch=4)
    assert len(traces) == 1
    np.testing.assert_allclose(grid["value"], np.linspace(0.1, 1.9, 10), rtol=1e-6)


def test_all_candidates_hear_the_same_noise(model, key):
    value = gx.sweep(model, lambda m, k: jax.random.normal(k) + 0 * m.w, {"w": [0.1, 0.2, 0.3]}, key=key)["value"]
    assert len(set(value.values)) == 1
    other = gx.sweep(model, lambda m, k: jax.random.normal(k) + 0 * m.w, {"w": [0.1]}, key=jax.random.key(8))["value"]
    assert other.values[0] != value.values[0]


def test_a_network_by_dotted_paths(small_connectome, key, rounding):
    coupling = gx.couplings.Linear(source="S", strength=0.3)
    net = gx.Network(gx.models.WongWang(), coupling, small_connectome, noise=gx.noise.White(sigma=0.02))

    def mean(n, key):
        return gx.simulate(n, duration=10.0, dt=1.0, key=key)["raw"].values.mean()

    space = {"coupling.strength": [0.1, 0.5], "noise.sigma": [0.01]}
    grid = gx.sweep(net, mean, space, key=key)
    for i, strength in enumerate(space["coupling.strength"]):
        at = lambda n: (n.coupling.strength, n.noise.sigma)  # noqa: E731
        one = eqx.tree_at(at, net, (jnp.asarray(strength), jnp.asarray(0.01)))
        expected = mean(one, jax.random.split(key, 1)[0])
        np.testing.assert_allclose(grid["value"].values[i, 0], expected, rtol=10 * rounding)


class Bare(eqx.Module):
    x: float = 0.5
    n: int = 3


def test_a_plain_field_can_be_swept():
    grid = gx.sweep(Bare(), lambda m, key: m.x * m.n, {"x": [1.0, -2.0]})
    np.testing.assert_allclose(grid["value"], [3.0, -6.0])


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "sweep over what"),
        ({"ww": [0.1]}, "no parameter 'ww'; did you mean 'w'"),
        ({"w": 0.1}, r"the values of w are a list of numbers, got shape \(\)"),
        ({"w": []}, r"the values of w are a list of numbers, got shape \(0,\)"),
        ({"w": [[0.1]]}, r"the values of w are a list of numbers, got shape \(1, 1\)"),
        ({"I_o": [0.1], "w": [0.1, 2.5]}, r"w = 2.5 does not lie inside its domain Interval\(lower=0.0, upper=2.0"),
        ({"a": [np.nan]}, "a = nan does not lie inside its domain Positive"),
        ({"J_N": [0.0]}, "J_N = 0 does not lie inside its domain Positive"),
    ],
)
def test_wrong_spaces_are_named(space, message, model):
    with pytest.raises(ValueError, match=message):
        gx.sweep(model, function, space)


def test_what_cannot_be_swept_is_named(model):
    with pytest.raises(ValueError, match="w is no scalar parameter"):
        gx.sweep(gx.models.WongWang(w=np.full(5, 0.6)), function, {"w": [0.1]})
    with pytest.raises(ValueError, match="a is no scalar parameter"):
        gx.sweep({"a": (1.0, 2.0)}, function, {"a": [0.1]})
    with pytest.raises(TypeError, match="n is 3: only floating-point arrays"):
        gx.sweep(Bare(), function, {"n": [1.0]})
    with pytest.raises(ValueError, match="batch is a whole number from 1 on, got 0"):
        gx.sweep(model, function, {"w": [0.1]}, batch=0)
    with pytest.raises(ValueError, match=r"gives 'value' of shape \(2,\): a sweep takes scalars"):
        gx.sweep(model, lambda m, key: jnp.stack([m.w, m.a]), {"w": [0.1]})


def test_the_bar_speaks_only_when_asked(model, capfd):
    gx.sweep(model, function, {"w": [0.1, 0.2]})
    assert capfd.readouterr() == ("", "")
    gx.sweep(model, function, {"w": [0.1, 0.2]}, batch=1, progress="my sweep")
    assert "my sweep" in (err := capfd.readouterr().err) and "2/2" in err


def test_evaluate_equals_a_loop_over_keys(model, key, rounding):
    keys = jax.random.split(key, 4)
    found = gx.evaluate(model, lambda m, k: {"x": m.w + jax.random.normal(k), "y": jax.random.normal(k, (2,))}, keys)
    assert found["x"].shape == (4,) and found["y"].shape == (4, 2)
    for i, k in enumerate(keys):
        np.testing.assert_allclose(found["x"][i], 0.6 + jax.random.normal(k), rtol=rounding)
        np.testing.assert_allclose(found["y"][i], jax.random.normal(k, (2,)), rtol=rounding)
