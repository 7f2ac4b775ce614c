"""What a sweep goes over: points, draws, subjects; and which parameters matter."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as d
import pytest
from scipy.stats import qmc

import gyrax as gx

MODEL = gx.models.WongWang()


def product(model, key):
    return model.w * model.I_o


def test_axes_are_crossed_and_lists_go_together():
    space = {
        ("w", "J_N"): [0.2, 0.4],
        "pair": gx.scale.Together({"I_o": [0.1, 0.2, 0.3], "gamma": [1e-4, 2e-4, 3e-4]}),
        "seed": gx.scale.Seeds(2),
    }

    def function(model, key):
        return jnp.stack([model.w, model.J_N, model.I_o, model.gamma, jax.random.normal(key)])

    found = gx.sweep(MODEL, function, space, key=5)
    assert dict(found.sizes) == {"w": 2, "pair": 3, "seed": 2, "value_0": 5}
    keys = jax.random.split(jax.random.key(5), 2)
    for i, w in enumerate((0.2, 0.4)):
        for j, (current, gamma) in enumerate(((0.1, 1e-4), (0.2, 2e-4), (0.3, 3e-4))):
            for k in range(2):
                expected = [w, w, current, gamma, float(jax.random.normal(keys[k]))]
                np.testing.assert_allclose(found["value"].values[i, j, k], expected, rtol=1e-6)
    at = gx.best(found.isel(value_0=0, drop=True).drop_vars("seed").isel(seed=0), MODEL, of="max")[0]
    assert float(at.w) == float(at.J_N) == pytest.approx(0.4)


@pytest.mark.once
@pytest.mark.parametrize(
    ("kind", "sampler"), [(gx.scale.Sobol, qmc.Sobol), (gx.scale.LatinHypercube, qmc.LatinHypercube)]
)
def test_points_fill_a_box_as_scipy_has_it(kind, sampler):
    axis = kind({"w": (0.4, 1.2), "I_o": (0.01, 1.0, "log")}, count=8, seed=3)
    unit = sampler(2, rng=np.random.default_rng(3)).random(8)
    columns = axis.columns(MODEL)
    np.testing.assert_allclose(columns["w"], 0.4 + 0.8 * unit[:, 0])
    np.testing.assert_allclose(np.log10(columns["I_o"]), -2 + 2 * unit[:, 1])


@pytest.mark.once
def test_draws_are_of_their_distributions():
    columns = gx.scale.Draws({"w": d.Uniform(0.5, 1.0), "I_o": d.Gamma(3.0, 10.0)}, count=4000, key=1).columns(MODEL)
    assert columns["w"].mean() == pytest.approx(0.75, abs=0.02) and columns["I_o"].mean() == pytest.approx(
        0.3, abs=0.02
    )
    assert abs(np.corrcoef(columns["w"], columns["I_o"])[0, 1]) < 0.05


@pytest.mark.once
@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "space is empty"),
        ({("w", "w"): [0.5]}, "one is given twice"),
        ({(): [0.5]}, "a tuple of parameters"),
        ({"w": [0.5], "p": gx.scale.Together({"w": [0.5]})}, "w is given twice"),
        ({"p": gx.scale.Together({"w": [0.5], "I_o": [0.1, 0.2]})}, "as many values of each: 1 of w, 2 of I_o"),
        ({"p": gx.scale.Together({})}, "the axis 'p' is empty"),
        ({"a": gx.scale.Together({"w": [0.5]})}, "a name of its own: 'a' is a parameter"),
        ({"p": gx.scale.Seeds(2), "q": gx.scale.Seeds(2)}, "noise is one axis"),
        ({"p": gx.scale.Sobol({"w": (0.0, 9.0)}, 4)}, "does not lie inside its domain"),
        ({"p": gx.scale.Sobol({"v": (0.0, 9.0)}, 4)}, "no parameter 'v'"),
    ],
)
def test_spaces_that_are_none(space, said):
    with pytest.raises(ValueError, match=said):
        gx.sweep(MODEL, product, space)


@pytest.mark.once
@pytest.mark.parametrize("ends", [(1.0, 0.5), (0.5,), 0.5, "w", (0.0, 1.0, "log"), (0.1, 1.0, "lin"), (0.0, np.inf)])
def test_ranges_that_are_none(ends):
    with pytest.raises((TypeError, ValueError), match=r"ranges\['w'\]"):
        gx.scale.Sobol({"w": ends}, 4)


@pytest.mark.once
def test_no_axis_of_its_own_in_a_list():
    with pytest.raises(ValueError, match="grid=False is a list of points"):
        gx.sweep(MODEL, product, {"w": [0.5], "seed": gx.scale.Seeds(2)}, grid=False)


def subject(weight: float, length: float) -> gx.Network:
    regions = gx.Connectome([[0, weight], [2 * weight, 0]], [[0, length], [2 * length, 0]], labels=["V1", "M1"])
    return gx.Network(gx.models.Linear(gamma=-0.1), gx.couplings.Linear(source="x"), regions, gx.Delay(speed=1.0))


def test_subjects_are_an_axis(tmp_path):
    nets = {"sub-01": subject(0.01, 3.0), "sub-02": subject(0.02, 5.0), "sub-03": subject(0.03, 4.0)}
    cohort = gx.Cohort(nets)

    def function(net, key):
        run = gx.simulate(net, 12.0, 1.0, monitors=gx.monitors.Raw(source="x"), start=jnp.ones((1, 2)))
        return run["monitor"].values[-1, 0]

    space = {"subject": gx.scale.Subjects(cohort), "coupling.strength": [0.5, 1.0]}
    found = gx.sweep(cohort["sub-02"], function, space, store=tmp_path / "study.zarr")
    assert list(found["subject"].values) == list(nets) and set(found.coords) == {"subject", "coupling.strength"}
    for name, net in nets.items():
        expected = gx.sweep(net, function, {"coupling.strength": [0.5, 1.0]})["value"]
        np.testing.assert_allclose(found["value"].sel(subject=name), expected, rtol=1e-6)


@pytest.mark.once
def test_subjects_of_another_network():
    cohort = gx.Cohort({"sub-01": subject(0.01, 3.0), "sub-02": subject(0.02, 5.0)})
    with pytest.raises(ValueError, match=r"sweep over cohort\['sub-01'\]"):
        gx.sweep(MODEL, product, {"subject": gx.scale.Subjects(cohort)})
    same = gx.Cohort({"sub-01": subject(0.01, 3.0), "sub-02": subject(0.01, 3.0)})
    with pytest.raises(ValueError, match="differ in nothing"):
        gx.sweep(same["sub-01"], product, {"subject": gx.scale.Subjects(same)})


class Ishigami(eqx.Module):
    """Three numbers between -pi and pi."""

    x: jax.Array = gx.parameter(0.0)
    y: jax.Array = gx.parameter(0.0)
    z: jax.Array = gx.parameter(0.0)


BOX = dict.fromkeys(("x", "y", "z"), (-np.pi, np.pi))


def ishigami(model, key):
    return jnp.sin(model.x) + 7 * jnp.sin(model.y) ** 2 + 0.1 * model.z**4 * jnp.sin(model.x)


@pytest.mark.once
def test_shares_of_variance_are_those_in_closed_form():
    found = gx.scale.sensitivity(Ishigami(), ishigami, BOX, count=4096)
    half = 0.1 * np.pi**4 / 5
    first = np.array([(1 + half) ** 2 / 2, 49 / 8, 0.0])
    both = 0.01 * np.pi**8 * (1 / 18 - 1 / 50)
    whole = first.sum() + both
    np.testing.assert_allclose(found["value_first"], first / whole, atol=0.03)
    np.testing.assert_allclose(found["value_total"], (first + both * np.array([1.0, 0.0, 1.0])) / whole, atol=0.03)
    assert list(found["parameter"].values) == ["x", "y", "z"] and found.attrs["points"] == 4096 * 5


@pytest.mark.once
def test_single_steps_of_a_plane():
    found = gx.scale.sensitivity(Ishigami(), lambda m, key: {"plane": 3 * m.x - m.y}, BOX, method="morris", count=16)
    np.testing.assert_allclose(found["plane_mean"], np.array([3.0, -1.0, 0.0]) * 2 * np.pi, atol=1e-6)
    np.testing.assert_allclose(found["plane_spread"], 0.0, atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 100}, "a power of two for method='sobol', got 100: take 128"),
        ({"ranges": {"x": (0.0, 1.0)}}, "give ranges of two or more"),
        ({"function": lambda m, key: jnp.log(m.x)}, "'value' is not finite at"),
        ({"function": lambda m, key: m.x * jnp.ones(2)}, "'value' is an array"),
        ({"function": lambda m, key: 0 * m.x + 2}, "'value' is 2 at all points: it depends on none"),
        ({"function": lambda m, key: m.x * 1j}, "'value' is complex"),
        ({"count": 1}, "count is a whole number from 2 on|count= takes a whole number from 2 on"),
        ({"method": "fast"}, "method"),
    ],
)
def test_what_has_no_shares(change, said):
    given = {"function": ishigami, "ranges": BOX, "count": 8} | change
    with pytest.raises((TypeError, ValueError), match=said):
        gx.scale.sensitivity(Ishigami(), given.pop("function"), given.pop("ranges"), **given)
