"""Grids and lists of candidates against plain loops."""

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
    assert len(traces) == 2  # one to see what it computes, one to compile
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


@pytest.mark.once
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


@pytest.mark.once
def test_what_cannot_be_swept_is_named(model):
    message = r"the values of w are of shape \(value, 5\), got shape \(1,\); for one value everywhere, sweep before per_region"
    with pytest.raises(ValueError, match=message):
        gx.sweep(gx.models.WongWang(w=np.full(5, 0.6)), function, {"w": [0.1]})
    with pytest.raises(ValueError, match=r"a is 2 parameters: a.0, a.1; give each its values"):
        gx.sweep({"a": (1.0, 2.0)}, function, {"a": [0.1]})
    with pytest.raises(TypeError, match="n is 3: only floating-point arrays"):
        gx.sweep(Bare(), function, {"n": [1.0]})
    with pytest.raises(ValueError, match="batch is a whole number from 1 on, got 0"):
        gx.sweep(model, function, {"w": [0.1]}, batch=0)
    with pytest.raises(TypeError, match=r"expected an array or a dict of named arrays; 'w' is float"):
        gx.sweep(model, lambda m, key: {"w": 1.0}, {"w": [0.1]})
    with pytest.raises(ValueError, match="w is given twice"):
        gx.sweep(model, function, {"w": [0.1], (lambda m: m.w): [0.2]})
    with pytest.raises(ValueError, match="as many values of each: 2 of w, 3 of a"):
        gx.sweep(model, function, {"w": [0.1, 0.2], "a": [1.0, 2.0, 3.0]}, grid=False)


def test_the_bar_speaks_only_when_asked(model, capfd):
    gx.sweep(model, function, {"w": [0.1, 0.2]})
    assert capfd.readouterr() == ("", "")
    gx.sweep(model, function, {"w": [0.1, 0.2]}, batch=1, progress="my sweep")
    assert "my sweep" in (err := capfd.readouterr().err) and "2/2" in err


def test_a_list_of_points_by_functions_and_paths(model, key, rounding):
    space = {(lambda m: m.w): [0.3, 0.6, 0.9], "b": [1.0, 2.0, 3.0]}
    found = gx.sweep(model, function, space, grid=False, key=key, batch=2)
    assert dict(found.sizes) == {"point": 3} and set(found.coords) == {"w", "b"}
    np.testing.assert_allclose(found["a"], 270.0 + np.arange(1, 4), rtol=rounding)
    noise = jax.random.normal(jax.random.split(key, 1)[0])
    np.testing.assert_allclose(found["noisy"], found["w"] * 0.33 + found["b"] * noise, rtol=10 * rounding)


def test_parameters_and_results_that_are_arrays(rounding):
    model = gx.models.WongWang(w=np.full(3, 0.6))
    rows = np.random.default_rng(0).uniform(0.1, 1.9, (4, 3))
    double = lambda m, key: {"twice": 2 * m.w, "sum": m.w.sum() + m.I_o}  # noqa: E731
    found = gx.sweep(model, double, {"w": rows, "I_o": [0.1, 0.2]})
    assert found["twice"].dims == ("w", "I_o", "twice_0") and found["sum"].shape == (4, 2)
    np.testing.assert_allclose(found["twice"].values, np.broadcast_to(2 * rows[:, None], (4, 2, 3)), rtol=rounding)
    np.testing.assert_allclose(found["sum"], rows.sum(1)[:, None] + [0.1, 0.2], rtol=4 * rounding)
    (best,) = gx.best(found, model, by="sum", of="max")
    np.testing.assert_allclose(best.w, rows[rows.sum(1).argmax()], rtol=rounding)
    listed = gx.sweep(model, double, {"w": rows, "I_o": [0.1, 0.2, 0.3, 0.4]}, grid=False)
    np.testing.assert_allclose(listed["w"], rows)
    (best,) = gx.best(listed, model, by="sum")
    at = int((rows.sum(1) + np.arange(1, 5) / 10).argmin())
    np.testing.assert_allclose(best.w, rows[at], rtol=rounding)
    np.testing.assert_allclose(best.I_o, 0.1 * (at + 1), rtol=rounding)


@pytest.mark.slow
def test_memory_makes_batches_and_no_difference(model, key, rounding):
    """Each candidate holds a matrix of a million entries twice over."""

    def hungry(m, key):
        x = jax.random.normal(key, (1000, 1000)) * m.w
        return jnp.sort(x, axis=0)[10].sum() + jnp.sort(x, axis=1)[:, 10].sum()

    space = {"w": np.linspace(0.1, 1.0, 6)}
    whole = gx.sweep(model, hungry, space, key=key)
    sizes = []

    def counting(m, key):
        sizes.append(jnp.shape(m.w))
        return hungry(m, key)

    parts = gx.sweep(model, counting, space, key=key, memory=4e7)
    assert len(sizes) > 1  # traced anew for smaller batches
    np.testing.assert_allclose(parts["value"], whole["value"], rtol=100 * rounding)
    with pytest.raises(ValueError, match=r"one candidate takes .* GB, more than memory = 0.0001 GB: record less"):
        gx.sweep(model, hungry, space, key=key, memory=1e5)


def test_a_loss_with_terms_and_its_best_points(model, rounding):
    loss = lambda m, key: ((m.w - 0.7) ** 2 + (m.I_o - 0.25) ** 2, {"w2": m.w**2})  # noqa: E731
    space = {"w": np.linspace(0.1, 1.9, 10), "I_o": [0.2, 0.24, 0.4]}
    found = gx.sweep(model, loss, space)
    assert set(found.data_vars) == {"loss", "w2"}
    values = sorted((w - 0.7) ** 2 + (i - 0.25) ** 2 for w in space["w"] for i in space["I_o"])
    best = gx.best(found, model, 5)
    close = {"rtol": 1e-3, "atol": 1e-6} if rounding > 1e-6 else {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose([loss(m, None)[0] for m in best], values[:5], **close)
    worst = gx.best(found, model, 1, of="max")[0]
    np.testing.assert_allclose(loss(worst, None)[0], values[-1], **close)
    np.testing.assert_allclose(gx.best(found, model, 1, by="w2")[0].w, 0.1, rtol=1e-6)
    assert best[0].a is model.a


def test_points_that_are_not_finite_are_never_the_best(model):
    found = gx.sweep(model, lambda m, key: jnp.where(m.w < 0.5, jnp.nan, m.w), {"w": [0.1, 0.9, 0.6]})
    np.testing.assert_allclose([m.w for m in gx.best(found, model, 2)], [0.6, 0.9], rtol=1e-6)
    np.testing.assert_allclose([m.w for m in gx.best(found, model, 2, of="max")], [0.9, 0.6], rtol=1e-6)
    with pytest.raises(ValueError, match="count = 3: 2 of 3 points of the sweep are finite"):
        gx.best(found, model, 3)


def test_best_by_what(model):
    found = gx.sweep(model, lambda m, key: {"x": m.w, "y": m.w * jnp.ones(2)}, {"w": [0.1, 0.2]})
    with pytest.raises(ValueError, match=r"by which variable[?] give by= one of x, y"):
        gx.best(found, model)
    with pytest.raises(ValueError, match=r"'y' has shape \(2, 2\) on \('w', 'y_0'\)"):
        gx.best(found, model, by="y")


@pytest.mark.once
def test_what_is_computed_may_have_the_name_of_an_axis():
    model = gx.models.Linear(gamma=-0.5)
    values = np.array([-1.0, -2.0])

    def function(m, key):
        return {"gamma": 2 * m.gamma, "y": m.gamma * jnp.ones(2), "y_0": m.gamma}

    found = gx.sweep(model, function, {"gamma": values}, progress=False)
    np.testing.assert_allclose(found["gamma"], values)
    np.testing.assert_allclose(found["gamma_value"], 2 * values)
    assert found["y"].dims == ("gamma", "y_0") and found["y_0_value"].dims == ("gamma",)


@pytest.mark.once
def test_an_evaluation_may_have_the_name_of_an_axis():
    keys = jax.random.split(jax.random.key(1), 3)
    found = gx.evaluate(gx.models.Linear(gamma=-0.5), lambda m, key: {"seed": m.gamma}, keys).to_xarray()
    assert found["seed"].values.tolist() == [0, 1, 2] and found["seed_value"].values.tolist() == [-0.5] * 3


def test_the_best_of_noisy_points_is_by_their_means(model):
    values = np.array(
        [[0.0, 2.0], [0.5, 0.6], [-9.0, np.nan]]
    )  # the first has the luckiest draw, the last is not finite
    found = gx.sweep(model, lambda m, key: m.w, {"w": [0.4, 0.5, 0.6], "seed": gx.scale.Seeds(2)})
    found["value"] = (("w", "seed"), values)
    np.testing.assert_allclose([m.w for m in gx.best(found, model, 2)], [0.5, 0.4], rtol=1e-6)
    with pytest.raises(ValueError, match="2 of 3 points"):
        gx.best(found, model, 3)


def test_the_best_subject_is_that_one():
    def net(weight):
        return gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), [[0, weight], [weight, 0]])

    cohort = gx.Cohort({"A": net(1.0), "B": net(2.0)})
    space = {"model.w": [0.5, 0.6], "subject": gx.scale.Subjects(cohort)}
    found = gx.sweep(cohort["A"], lambda n, key: n.connectome.weights.sum() * n.model.w, space)
    (best,) = gx.best(found, cohort, of="max")
    np.testing.assert_allclose([best.connectome.weights.sum(), best.model.w], [4.0, 0.6], rtol=1e-6)
    with pytest.raises(ValueError, match=r"give best\(\) their cohort"):
        gx.best(found, cohort["A"])


def test_the_best_of_a_part_of_a_sweep(model):
    found = gx.sweep(model, lambda m, key: {"I": m.w * m.I_o}, {"w": [0.5, 0.8], "I_o": [0.1, 0.2]})
    (best,) = gx.best(found.isel(I_o=1), model)
    np.testing.assert_allclose([best.w, best.I_o], [0.5, 0.2], rtol=1e-6)
    with pytest.raises(ValueError, match="'I' is complex"):
        gx.best(found * 1j, model)


@pytest.mark.parametrize("memory", [np.nan, 0.0, -1.0])
def test_memory_is_a_number_of_bytes(memory, model):
    with pytest.raises(ValueError, match="memory is a positive number of bytes"):
        gx.sweep(model, lambda m, key: m.w, {"w": [0.5]}, memory=memory)


def test_noise_has_a_name_of_its_own(model):
    with pytest.raises(ValueError, match="an axis of noise has a name of its own, such as 'seed': 'w' is a parameter"):
        gx.sweep(model, lambda m, key: m.w, {"w": gx.scale.Seeds(2)})
