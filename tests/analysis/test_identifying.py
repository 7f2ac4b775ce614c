"""Fisher information against the algebra of least squares."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx

pytestmark = pytest.mark.once


class Line(eqx.Module):
    slope: jax.Array
    offset: jax.Array

    def __init__(self, slope, offset):
        self.slope, self.offset = jnp.asarray(slope, float), jnp.asarray(offset, float)


X = np.linspace(-1, 2, 7)


def line(model, key):
    return model.slope * X + model.offset


def test_of_a_line_it_is_that_of_least_squares():
    model = Line(2.0, -1.0)
    found = gx.analysis.identifiability(model, line, gx.select(model, "slope", "offset"), sd=0.3)
    design = np.stack([X, np.ones(7)], 1) / 0.3
    np.testing.assert_allclose(found.fisher, design.T @ design, rtol=1e-5)
    np.testing.assert_allclose(found.errors, np.sqrt(np.diag(np.linalg.inv(design.T @ design))), rtol=1e-5)
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(design.T @ design)[::-1], rtol=1e-5)
    assert found.names == ("slope", "offset") and not found.sloppy.any()
    np.testing.assert_allclose(found.values, [2.0, -1.0])


def test_least_squares_of_many_data_scatter_as_the_errors_say():
    rng = np.random.default_rng(0)
    design = np.stack([X, np.ones(7)], 1)
    fitted = [
        np.linalg.lstsq(design, design @ [2.0, -1.0] + 0.3 * rng.normal(size=7), rcond=None)[0] for _ in range(4000)
    ]
    model = Line(2.0, -1.0)
    found = gx.analysis.identifiability(model, line, gx.select(model, "slope", "offset"), sd=0.3)
    np.testing.assert_allclose(found.errors, np.std(fitted, axis=0), rtol=0.05)


def test_what_only_a_product_tells_trades():
    model = Line(2.0, 3.0)

    def product(model, key):
        return model.slope * model.offset * jnp.arange(1.0, 4.0)

    found = gx.analysis.identifiability(model, product, gx.select(model, "slope", "offset"), sd=0.01)
    assert found.sloppy.tolist() == [False, True] and np.isinf(found.errors).all()
    text = repr(found)
    assert "tell 1 of 2 directions" in text and "trade against each other" in text and "slope" in text
    # the direction along which the product stays: 3 d slope + 2 d offset = 0
    along = found.directions[1]
    assert abs(3 * along[0] + 2 * along[1]) < 1e-5


def test_errors_are_in_the_unit_of_the_parameter():
    net = gx.Network(
        gx.models.Linear(gamma=np.array([-2.0, -3.0])),
        gx.couplings.Linear(source="x", strength=0.5),
        [[0.0, 1.0], [1.0, 0.0]],
    )
    spec = gx.select(net, "coupling.strength", "model.gamma")
    found = gx.analysis.identifiability(
        net, lambda n, key: jnp.append(n.model.gamma, n.coupling.strength), spec, sd=[0.1, 0.2, 0.05]
    )
    told = dict(zip(found.names, found.errors, strict=True))
    expected = {"model.gamma[region_0]": 0.1, "model.gamma[region_1]": 0.2, "coupling.strength": 0.05}
    assert told == {name: pytest.approx(x, rel=1e-4) for name, x in expected.items()}
    assert list(found.to_xarray()["number"].values) == list(found.names)


def test_more_numbers_than_data():
    model = Line(2.0, 3.0)
    found = gx.analysis.identifiability(
        model, lambda m, key: (m.slope + m.offset)[None], gx.select(model, "slope", "offset"), sd=1e-3
    )
    assert found.directions.shape == (2, 2) and found.eigenvalues[1] == 0


@pytest.mark.slow
def test_through_a_simulation_and_through_theory():
    net = gx.Network(
        gx.models.WongWang(w=0.4, I_o=0.32),
        gx.couplings.Linear(source="S", strength=0.3),
        np.ones((3, 3)) / 3,
        noise=gx.noise.White(sigma=0.002),
    )
    spec = gx.select(net, "model.w", "noise.sigma")

    def mean(net, key):
        run = gx.simulate(net, 20.0, 1.0, monitors={"S": gx.monitors.Subsample(source="S", period=2.0)}, key=key)
        return {"S": run["S"].values}

    found = gx.analysis.identifiability(net, mean, spec, sd={"S": 0.1}, key=0)
    assert np.isfinite(found.fisher).all() and found.fisher[0, 0] > 0
    # correlations do not know how strong the noise is
    theory = gx.analysis.identifiability(
        net, lambda n, key: gx.features.upper_triangle(gx.analysis.linear_noise(n).fc("S")), spec, sd=0.05
    )
    assert theory.eigenvalues[1] < 1e-6 * theory.eigenvalues[0] and "noise.sigma" in theory.named(1)


@pytest.mark.parametrize(
    ("predict", "sd", "error", "message"),
    [
        (line, 0.0, ValueError, "sd, the error of the data, is positive"),
        (line, [1.0, 2.0], ValueError, r"sd has shape \(2,\), expected one number or \(7,\)"),
        (line, {"a": 1.0}, ValueError, "sd is of a"),
        (lambda m, key: m.slope / 0.0 * X, 1.0, ValueError, "the prediction is not finite"),
        (lambda m, key: "what", 1.0, TypeError, "predict returns an array"),
    ],
)
def test_what_cannot_be_is_said(predict, sd, error, message):
    model = Line(2.0, -1.0)
    with pytest.raises(error, match=message):
        gx.analysis.identifiability(model, predict, gx.select(model, "slope"), sd=sd)


def test_too_many_numbers_for_a_matrix():
    model = Line(np.zeros(5001), 1.0)
    with pytest.raises(ValueError, match=r"5001 numbers are free.*gx.analysis.curvature"):
        gx.analysis.identifiability(model, lambda m, key: m.slope, gx.select(model, "slope"), sd=1.0)


def test_a_symmetric_prediction_would_count_each_pair_twice():
    model = Line([0.2, 0.4], 1.0)
    spec = gx.select(model, "slope")

    def predict(m, key):
        return m.slope[:, None] * m.slope

    with pytest.raises(ValueError, match=r"each pair of regions would count as two.*upper_triangle"):
        gx.analysis.identifiability(model, predict, spec, sd=1.0)
    fine = gx.analysis.identifiability(model, lambda m, key: gx.features.upper_triangle(predict(m, key)), spec, sd=1.0)
    assert fine.fisher.shape == (2, 2)
    with pytest.raises(ValueError, match="a residual is a symmetric matrix"):
        gx.analysis.curvature(
            model, lambda m, key: (m.slope.sum(), {"residuals": predict(m, key)}), spec, of="residuals"
        )


def test_noise_needs_a_key():
    model = Line(2.0, -1.0)
    spec = gx.select(model, "slope")

    def noisy(m, key):
        return line(m, key) + jax.random.normal(key, (7,))

    with pytest.raises(ValueError, match="give key="):
        gx.analysis.identifiability(model, noisy, spec, sd=0.3)
    assert gx.analysis.identifiability(model, noisy, spec, sd=0.3, key=1).fisher.shape == (1, 1)


def test_what_was_compiled_is_not_compiled_again():
    traced = []

    def predict(m, key):
        note()
        return line(m, key)

    def note(to=traced.append):
        to(1)

    model = Line(2.0, -1.0)
    for _ in range(2):
        gx.analysis.identifiability(model, predict, gx.select(model, "slope"), sd=0.3)
    once = len(traced)
    gx.analysis.identifiability(Line(3.0, 1.0), predict, gx.select(model, "slope"), sd=0.3)
    # looked at once a call, for what it computes now; the program is there
    assert len(traced) == once + 1 <= 5
