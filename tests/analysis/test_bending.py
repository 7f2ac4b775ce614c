"""Curvature without the matrix against the matrix."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import gyrax as gx


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


@pytest.mark.slow
@pytest.mark.once
def test_random_vectors_count_what_was_not_looked_for():
    values = np.concatenate([np.linspace(100, 90, 3), np.linspace(8.0, 12.0, 60), np.full(138, 1e-4)])
    matrix, _ = symmetric(values)
    model = many(200)
    found = gx.analysis.curvature(model, quadratic(matrix), gx.select(model, *FREE), count=3, progress=False)
    told = found.above(1.0)
    assert abs(told.mean - 63) < 4 * max(told.scatter, 1.0) and told.scatter < 12
    assert found.above(50.0).mean == 3 and found.above(50.0).scatter == 0
    np.testing.assert_allclose(found.weights.sum(1), 198.0)
    assert found.plot().get_xscale() == "log"


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
