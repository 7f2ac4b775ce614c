"""Curvature without the matrix against the matrix."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import gyrax as gx
from gyrax.analysis import bending, counting


class Many(eqx.Module):
    a: jax.Array
    b: jax.Array


def many(n):
    return Many(jnp.linspace(-1.0, 1.0, n), jnp.asarray(0.5))


def quadratic(matrix, centre=0.0):
    matrix = jnp.asarray(matrix)

    def loss(model, key):
        x = jnp.append(model.a, model.b) - centre
        return 0.5 * x @ matrix @ x

    return loss


FREE = (gx.Free("a", domain=gx.Real(scale=1.0)), gx.Free("b", domain=gx.Real(scale=1.0)))


def symmetric(values, seed=0):
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return basis @ np.diag(values) @ basis.T, basis


def loose() -> dict[str, Any]:
    """Of float32 the products have seven digits, and Lanczos's method half of them for vectors."""
    return {"rtol": 1e-5, "atol": 1e-5} if jnp.result_type(float) == jnp.float64 else {"rtol": 2e-3, "atol": 2e-2}


@pytest.mark.parametrize("n", [20, 150])
def test_a_known_matrix(n):
    values = np.concatenate([[40.0, -25.0, 12.0, 6.0], np.full(n - 3, 1e-3)])
    matrix, basis = symmetric(values)
    model = many(n)
    found = gx.analysis.curvature(model, quadratic(matrix), gx.select(model, *FREE), count=4, progress=False)
    np.testing.assert_allclose(found.eigenvalues, values[:4], **loose())
    np.testing.assert_allclose(np.abs(found.directions @ basis[:, :4]), np.eye(4), **loose())
    x = np.append(np.linspace(-1, 1, n), 0.5)
    assert found.gradient == pytest.approx(np.linalg.norm(matrix @ x), rel=1e-4)
    assert found.above(1.0).mean == pytest.approx(3, abs=1e-6) and found.downward().mean == pytest.approx(1, abs=1e-6)
    text = repr(found)
    assert f"in {n + 1} free numbers" in text and "no minimum" in text
    assert found.to_xarray()["part"].dims == ("direction", "number") and found.names[-1] == "b"


class Vector(eqx.Module):
    v: gx.Array = gx.parameter(0.0, domain=gx.Real(scale=1.0))


def squares(values):
    """A loss whose residuals have these as eigenvalues of their J'J."""
    _, basis = symmetric(values)
    root = jnp.asarray(np.diag(np.sqrt(values)) @ basis.T)
    model = Vector(v=jnp.zeros(len(values)))
    return model, lambda m, key: (0.5 * ((root @ m.v) ** 2).sum(), {"residuals": root @ m.v}), gx.select(model, "v")


@pytest.mark.parametrize("of", ["loss", "residuals"])
def test_all_of_several_hundred_are_counted_exactly(of):
    values = np.geomspace(1e-6, 1e4, 300)
    found = gx.analysis.curvature(*squares(values), of=of, progress=False)
    # of second derivatives in float32 ten roundings of the largest are a hundredth
    clear = [1.0, 10.0, 3e3] if of == "loss" else [1e-2, 1.0, 10.0, 3e3]
    for value in clear:
        assert found.above(value) == ((values > value).sum(), 0.0)
    assert repr(found).endswith("60 bend more than a hundredth of the stiffest")
    if of == "residuals":
        np.testing.assert_allclose(found.eigenvalues, values[::-1][:8], rtol=1e-4)


@pytest.mark.once
def test_where_random_vectors_count_the_truth_lies_within(monkeypatch):
    monkeypatch.setattr(bending, "_WHOLE", 64)
    values = np.geomspace(1e-6, 1e4, 300)
    one, two = (gx.analysis.curvature(*squares(values), of="residuals", key=k, progress=False) for k in range(2))
    for value in 10.0 ** np.arange(-5, 4):
        for found in (one, two):
            told = found.above(value)
            assert abs(told.mean - (values > value).sum()) <= told.scatter > 0, (value, told)
    assert one.above(1.0) != two.above(1.0)
    assert one.above(10.0).scatter < 60  # which tells something
    # all of this size were found
    assert one.above(values[-6] * 1.001) == (5, 0.0)
    assert "+-" in repr(one) and one.plot().get_xscale() == "log"


@pytest.mark.once
@pytest.mark.parametrize(
    "values",
    [
        np.concatenate([[300.0, 200.0], np.linspace(8.0, 12.0, 60), np.full(238, 1e-4)]),
        np.concatenate([[300.0, 200.0], np.geomspace(1e-1, 1e2, 40), np.geomspace(1e-9, 1e-3, 258)]),
        np.concatenate([[300.0, -250.0], np.linspace(-20.0, 40.0, 298)]),
        np.concatenate([[300.0], np.ones(299)]),
        np.concatenate([[300.0], np.zeros(299)]),
    ],
)
def test_bounds_of_a_quadrature(values):
    known, held = np.eye(len(values))[:2], []
    _, basis = symmetric(values[2:])

    def times(x):
        return np.concatenate([x[:, :2] * values[:2], (x[:, 2:] @ basis * values[2:]) @ basis.T], 1)

    def seen(seed):
        return counting.sampled(times, values[:2], known, 1e-12, np.random.default_rng(seed))

    for seed in range(8):
        found = seen(seed)
        for value in (-10.0, -1e-3, 1e-2, 0.5, 1.001, 5.0, 30.0, 250.0):
            above, below = found.above(value), found.below(value)
            held += [
                above.least <= (values > value).sum() <= above.most,
                below.least <= (values < value).sum() <= below.most,
            ]
    assert np.mean(held) > 0.99
    if values[2] == 8.0:  # in a gap nothing is open but what four random vectors scatter
        gap = seen(0).above(1.0)
        assert gap.most - gap.least < 2.2 * 3 * np.sqrt(2 * 60 * 238 / 298 / 4)
    if (values[2:] == values[2]).all():
        assert seen(0).above(0.5).least == seen(0).above(0.5).most


@pytest.mark.once
def test_few_residuals_of_many_numbers_are_counted_exactly():
    slopes = np.random.default_rng(0).normal(size=(12, 3000)) * np.geomspace(1e-2, 1, 12)[:, None]
    model = Vector(v=jnp.zeros(3000))
    found = gx.analysis.curvature(
        model,
        lambda m, key: ((m.v**2).sum(), {"residuals": jnp.asarray(slopes) @ m.v}),
        gx.select(model, "v"),
        of="residuals",
        progress=False,
    )
    values = np.linalg.eigvalsh(slopes @ slopes.T)[::-1]
    np.testing.assert_allclose(found.eigenvalues, values[:8], rtol=1e-6)
    for value in (1e-9, 10.0):
        assert found.above(value) == ((values > value).sum(), 0.0)
    assert found.directions.shape == (8, 3000)


def test_a_perfect_fit_of_a_matrix_has_slopes():
    target = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    model = Vector(v=target)
    found = gx.analysis.curvature(
        model,
        lambda m, key: (((m.v - target) ** 2).sum(), {"residuals": m.v - target}),
        gx.select(model, "v"),
        of="residuals",
        progress=False,
    )
    np.testing.assert_allclose(found.eigenvalues, np.ones(4), rtol=1e-6)


@pytest.mark.once
def test_directions_of_a_mask_are_matrices():
    net = network()
    free = np.asarray(net.connectome.weights) > 0.3
    spec = gx.select(net, gx.Free("connectome.weights", mask=free))
    found = gx.analysis.curvature(net, lambda n, key: (n.connectome.weights**2).sum(), spec, progress=False)
    matrix = found.direction(0)["connectome.weights"]
    assert matrix.dims == ("target", "source") and matrix["source"].values.tolist() == ["lh", "mid", "rh"]
    np.testing.assert_array_equal(np.isfinite(matrix), free)
    np.testing.assert_array_equal(matrix.values[free], found.directions[0])


def network():
    n = 3
    weights = np.random.default_rng(1).random((n, n)) * (1 - np.eye(n))
    return gx.Network(
        gx.models.WongWang(w=np.array([0.7, 0.8, 0.9])),
        gx.couplings.Linear(source="S", strength=0.3),
        gx.Connectome(weights=weights, labels=["lh", "mid", "rh"]),
        noise=gx.noise.White(sigma=0.01),
    )


def run(net, key):
    return gx.simulate(net, 60.0, 1.0, key=key, monitors={"S": gx.monitors.Subsample(source="S", period=4.0)})[
        "S"
    ].values


def loss(net, key):
    off = run(net, key) - 0.4
    return (off**2).sum(), {"residuals": off}


@pytest.mark.slow("float64")
def test_of_a_simulation_it_is_the_matrix_of_second_derivatives():
    net = network()
    spec = gx.select(net, "coupling.strength", "model.w", "connectome.weights")
    free, fixed = gx.split(net, spec)
    flat, back = ravel_pytree(free)
    keys = jax.random.split(jax.random.key(2), 2)

    def value(x):
        return sum(loss(gx.join(back(x), fixed), keys[i])[0] for i in range(2)) / 2

    slope = eqx.filter_jit(jax.grad(value))
    step = 1e-5 if flat.dtype == jnp.float64 else 3e-2
    columns = [
        (slope(flat + step * e) - slope(flat - step * e)) / (2 * step) for e in np.eye(flat.size, dtype=flat.dtype)
    ]
    expected = np.linalg.eigvalsh(np.array(columns, float))
    found = gx.analysis.curvature(net, loss, spec, count=50, key=2, realisations=2, progress=False)
    tight: dict[str, Any] = (
        {"rtol": 1e-5, "atol": 1e-7 * expected[-1]}
        if flat.dtype == jnp.float64
        else {"rtol": 2e-2, "atol": 1e-2 * expected[-1]}
    )
    np.testing.assert_allclose(np.sort(found.eigenvalues), expected, **tight)
    assert found.gradient == pytest.approx(float(np.linalg.norm(slope(flat))), rel=1e-4)
    first = found.direction(0)
    assert list(first["model.w"]["region"].values) == ["lh", "mid", "rh"] and set(first.data_vars) == set(
        found.shares(0)
    )
    assert sum(found.shares(0).values()) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("autodiff", ["reverse", pytest.param("forward", marks=pytest.mark.long)])
@pytest.mark.once
def test_of_residuals_it_is_fisher_information(autodiff):
    net = network()
    spec = gx.select(net, "coupling.strength", "model.w")

    def predict(net, key):
        monitors = {"S": gx.monitors.Subsample(source="S", period=4.0)}
        return gx.simulate(net, 60.0, 1.0, key=key, monitors=monitors, autodiff=autodiff)["S"].values

    def weighted(net, key):
        off = (predict(net, key) - 0.4) / 0.05
        return 0.5 * (off**2).sum(), {"residuals": off}

    found = gx.analysis.curvature(net, weighted, spec, of="residuals", key=1, progress=False)
    fisher = gx.analysis.identifiability(net, predict, spec, sd=0.05, key=1)
    np.testing.assert_allclose(found.eigenvalues, fisher.eigenvalues, rtol=1e-6, atol=1e-9 * fisher.eigenvalues[0])
    assert "no minimum" not in repr(found) and "of the residuals" in repr(found)


@pytest.mark.once
def test_what_cannot_be_is_said():
    model = many(3)
    spec = gx.select(model, *FREE)
    fine = quadratic(np.eye(4))
    with pytest.raises(ValueError, match="needs residuals"):
        gx.analysis.curvature(model, fine, spec, of="residuals")
    with pytest.raises(ValueError, match="real numbers, got complex"):
        gx.analysis.curvature(
            model, lambda m, key: (m.b, {"residuals": m.b * jnp.array([1 + 2j])}), spec, of="residuals"
        )
    nothing = Vector(v=jnp.zeros((0,)))
    with pytest.raises(ValueError, match="v is free and has no number"):
        gx.analysis.curvature(nothing, lambda m, key: (m.v**2).sum(), gx.select(nothing, "v"))
    with pytest.raises(FloatingPointError, match="gradient that is not finite"):
        gx.analysis.curvature(model, lambda m, key: jnp.sqrt(m.b - 0.5), spec, progress=False)
    with pytest.raises(FloatingPointError, match="second derivatives"):
        gx.analysis.curvature(model, lambda m, key: jnp.abs(m.b - 0.5) ** 1.5, spec, progress=False)
    large = many(100)
    with pytest.raises(FloatingPointError, match="does not bend"):
        gx.analysis.curvature(large, lambda m, key: m.b + m.a.sum(), gx.select(large, *FREE), progress=False)
    with pytest.raises(ValueError, match="larger than zero"):
        gx.analysis.curvature(model, fine, spec, progress=False).above(0.0)
    with pytest.raises(ValueError, match="count"):
        gx.analysis.curvature(model, fine, spec, count=0)
