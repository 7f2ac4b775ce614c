"""Sparse weights and surfaces: against SciPy, a plain NumPy loop and finite differences."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.experimental.sparse import BCOO

import gyrax as gx
from gyrax.anatomy.sparse import few_of
from gyrax.network.afferent import prepared
from naive import wiener

REGION_OF = np.array([2, 0, 1, 0, 0, 2, 0, 1, 0, 2, 2])  # unequal, so that long lists go on
VERTICES = len(REGION_OF)


def neighbours(seed=0, n=VERTICES, share=0.3):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1.0, (n, n)) * (rng.random((n, n)) < share)
    weights[3] = rng.uniform(0.1, 1.0, n)  # one that hears all
    weights[5] = 0  # and one that hears nobody
    return weights


def surface(delay=True, sigma=0.0, tag="vertex_"):
    """A tag of its own is compiled on its own."""
    far = gx.Connectome([[0, 0.5, 0.9], [0.2, 0, 0], [0.4, 0.3, 0]], [[0, 9, 1], [7, 0, 20], [30, 2, 0]])
    couplings = {
        "far": gx.couplings.Difference(source=("x", "y"), strength=0.2),
        "near": gx.couplings.Difference(source="x", target="c_x", strength=0.1, weights=gx.Sparse(neighbours())),
    }
    return gx.Network(
        gx.models.Hopf(a=0.1, omega=0.3),
        couplings,
        far,
        gx.Delay(3.0) if delay else None,
        gx.noise.White(sigma=sigma) if sigma else None,
        gx.Surface(REGION_OF, [f"{tag}{i}" for i in range(VERTICES)]),
    )


def plain(net, steps, dt, dw, local, start):
    """Heun's steps of what `surface` says, written out; delays in whole steps."""
    far, lag = np.asarray(net.connectome.weights), np.zeros((3, 3), int)
    if net.delay is not None:
        lag = np.round(np.asarray(net.connectome.lengths) / 3.0 / dt).astype(int)
    mean = lambda y: np.stack([y[:, r == REGION_OF].mean(1) for r in range(3)], 1)  # noqa: E731
    a, omega = float(net.model.a), float(net.model.omega)
    y, means = start, [mean(start)]

    def flow(y, step):
        x, heard = mean(y), np.zeros((2, 3))
        for i in range(3):
            for j in range(3):
                past = x if lag[i, j] == 0 else means[max(step - lag[i, j], 0)]
                heard[:, i] += far[i, j] * (past[:, j] - x[:, i])
        fed = 0.2 * heard[:, REGION_OF]
        fed[0] += 0.1 * (local @ y[0] - local.sum(1) * y[0])
        radius = a - (y**2).sum(0)
        return np.stack([radius * y[0] - omega * y[1] + fed[0], radius * y[1] + omega * y[0] + fed[1]])

    path = []
    for step in range(steps):
        first = flow(y, step) * dt + dw[step]
        y = y + (first + flow(y + first, step + 1) * dt + dw[step]) / 2
        means.append(mean(y))
        path.append(y)
    return np.array(path)


@pytest.mark.slow
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 1000))
def test_sums_are_scipys(targets, sources, share, seed):
    rng = np.random.default_rng(seed)
    matrix = scipy.sparse.random_array((targets, sources), density=share, rng=rng)
    x = rng.normal(size=(3, sources))
    weights = gx.Sparse(matrix)
    np.testing.assert_allclose(jnp.asarray(x, float) @ prepared(weights), x @ matrix.toarray().T, atol=1e-5)
    np.testing.assert_allclose(weights.sum(1), matrix.sum(1), atol=1e-5)


@pytest.mark.slow
@pytest.mark.once
def test_every_format_gives_the_same_and_pairs_given_twice_are_added():
    dense = neighbours()
    row, column = dense.nonzero()
    twice = (np.r_[dense[row, column] / 4, 3 * dense[row, column] / 4], (np.r_[row, row], np.r_[column, column]))
    formats = [dense, scipy.sparse.csr_matrix(dense), scipy.sparse.coo_array(twice), BCOO.fromdense(jnp.asarray(dense))]
    x = np.random.default_rng(1).normal(size=(1, VERTICES))
    for each in formats:
        weights = gx.Sparse(each)
        assert weights.values.shape == (len(row),)
        np.testing.assert_allclose(jnp.asarray(x, float) @ prepared(weights), x @ dense.T, atol=1e-5)


def test_a_row_that_hears_all_costs_others_nothing():
    weights = scipy.sparse.eye_array(1000, format="lil")
    weights[7] = 1.0
    assert gx.Sparse(weights).lists.entries.size < 4000


def test_what_is_not_finite_stays_in_its_row():
    sums = jnp.array([[1.0, jnp.nan, 3.0]]) @ prepared(gx.Sparse(np.array([[1.0, 0, 1.0], [0, 1.0, 0], [0, 0, 1.0]])))
    np.testing.assert_array_equal(np.isnan(sums), [[False, True, False]])


def test_entries_of_a_dense_matrix():
    dense = np.asarray(neighbours(2), jnp.result_type(float))
    x = np.random.default_rng(1).normal(size=(2, VERTICES)).astype(dense.dtype)
    np.testing.assert_allclose(jnp.asarray(x) @ few_of(dense != 0, jnp.asarray(dense)), x @ dense.T, rtol=1e-5)


@pytest.mark.slow("float32")
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.slow("float64")
def test_equals_a_plain_loop(delay, key, rounding):
    net, local = surface(delay=delay, sigma=0.02), neighbours()
    start = np.random.default_rng(4).normal(0, 0.3, (2, VERTICES))
    run = gx.simulate(net, 40.0, 0.5, key=key, start=start)
    expected = plain(net, 80, 0.5, wiener(net, key, 80, 0.5), local, start)
    np.testing.assert_allclose(run["raw"].values, expected, atol=20 * rounding)
    assert run["raw"].to_xarray().vertex.values[-1] == "vertex_10"


@pytest.mark.slow
@pytest.mark.once
def test_goes_on_from_where_it_ended(key, rounding):
    net = surface(sigma=0.02)
    whole, half = gx.simulate(net, 60.0, 0.5, key=key), gx.simulate(net, 30.0, 0.5, key=key)
    np.testing.assert_allclose(gx.simulate(net, 30.0, 0.5, start=half.final).final.y, whole.final.y, atol=rounding)
    quiet = surface()
    again = gx.simulate(quiet, 30.0, 0.5, start=whole["raw"]).final.y
    np.testing.assert_allclose(again, gx.simulate(quiet, 30.0, 0.5, start=whole.final).final.y, atol=rounding)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_gradients_equal_finite_differences(delay, kept, key, monkeypatch):
    if not kept:
        monkeypatch.setattr(sys.modules["gyrax._engine.running"], "_KEPT", 0.0)
        monkeypatch.setattr(sys.modules["gyrax._engine.loops"], "_LONG", 0)
    net = surface(delay, 0.02, f"{kept}")
    leaves = ["coupling.near.weights", "coupling.near.strength", "connectome.weights", "model.omega"]
    free, fixed = eqx.partition(net, gx.select(net, *leaves))
    start = np.random.default_rng(4).normal(0, 0.3, (2, VERTICES))

    def value(free, autodiff="reverse"):
        run = gx.simulate(eqx.combine(free, fixed), 30.0, 0.5, key=key, start=start, autodiff=autodiff)
        return jnp.mean(run["raw"].values ** 2) * 100

    gradient = jax.jit(jax.grad(value))(free)
    # a new far connection would need a network of its own
    there = lambda x: x != 0 if x.shape == (3, 3) else np.ones(x.shape)  # noqa: E731
    rng = np.random.default_rng(0)
    direction = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) * there(x), x.dtype), free)
    along = sum(jax.tree.leaves(jax.tree.map(lambda g, d: jnp.sum(g * d), gradient, direction)))
    double = jnp.result_type(float) == jnp.float64
    h = 1e-5 if double else 3e-3
    move = lambda h: jax.tree.map(lambda x, d: x + h * d, free, direction)  # noqa: E731
    numeric = (value(move(h)) - value(move(-h))) / (2 * h)
    np.testing.assert_allclose(along, numeric, rtol=1e-6 if double else 1e-2)
    forward = jax.jvp(lambda f: value(f, "forward"), (free,), (direction,))[1]
    np.testing.assert_allclose(along, forward, rtol=1e-9 if double else 1e-4)


@pytest.mark.slow
def test_many_at_once_equal_one_by_one(key, rounding):
    net = surface(sigma=0.02)

    def value(strength, key):
        changed = eqx.tree_at(lambda n: n.couplings["near"].strength, net, strength)
        return jnp.mean(gx.simulate(changed, 20.0, 0.5, key=key)["raw"].values ** 2)

    strengths, keys = jnp.array([0.05, 0.1, 0.3]), jax.random.split(key, 3)
    both = jax.jit(jax.vmap(jax.value_and_grad(value)))(strengths, keys)
    alone = [jax.jit(jax.value_and_grad(value))(s, k) for s, k in zip(strengths, keys, strict=True)]
    np.testing.assert_allclose(both[0], [x[0] for x in alone], rtol=20 * rounding)
    np.testing.assert_allclose(both[1], [x[1] for x in alone], rtol=100 * rounding)


@pytest.mark.slow
def test_one_vertex_a_region_is_no_surface(small_connectome, key, rounding):
    coupling = gx.couplings.Difference(source=("x", "y"), strength=0.2)
    parts = gx.models.Hopf(a=0.1, omega=0.3), coupling, small_connectome, gx.Delay(3.0), gx.noise.White(sigma=0.02)
    plain = gx.simulate(gx.Network(*parts), 30.0, 0.5, key=key).final.y
    on_surface = gx.simulate(gx.Network(*parts, gx.Surface(np.arange(5))), 30.0, 0.5, key=key).final.y
    np.testing.assert_allclose(on_surface, plain, atol=rounding)


@pytest.mark.slow
@given(st.permutations(range(VERTICES)))
@settings(max_examples=5)
def test_renumbering_vertices_renumbers_the_result(order):
    rounding = 1e-4 if jnp.result_type(float) == jnp.float32 else 1e-11
    order, start = np.array(order), np.random.default_rng(4).normal(0, 0.3, (2, VERTICES))
    before = gx.simulate(surface(), 20.0, 0.5, start=start).final.y
    net = eqx.tree_at(
        lambda n: (n.surface, n.couplings["near"].weights),
        surface(),
        (gx.Surface(REGION_OF[order]), gx.Sparse(neighbours()[np.ix_(order, order)])),
    )
    after = gx.simulate(net, 20.0, 0.5, start=start[:, order]).final.y
    np.testing.assert_allclose(after, np.asarray(before)[:, order], atol=rounding)


def test_sparse_weights_act_at_once_between_regions_too(small_connectome, key, rounding):
    """As a coupling of its own beside a delayed one, and equal to a dense one without delays."""
    local = np.diag(np.ones(4), 1)
    near = lambda w: gx.couplings.Linear(source="x", target="c_x", strength=0.3, weights=w)  # noqa: E731
    far = gx.couplings.Linear(source="y", target="c_y", strength=0.2)
    build = lambda c, d: gx.Network(gx.models.Hopf(a=0.1), c, small_connectome, d)  # noqa: E731
    sparse = gx.simulate(build({"n": near(gx.Sparse(local)), "f": far}, None), 10.0, 0.5).final.y
    dense = gx.simulate(build({"n": near(local), "f": far}, None), 10.0, 0.5).final.y
    np.testing.assert_allclose(sparse, dense, atol=rounding)
    alone = gx.simulate(build({"n": near(gx.Sparse(local))}, gx.Delay(3.0)), 10.0, 0.5).final.y
    np.testing.assert_allclose(
        alone, gx.simulate(build({"n": near(gx.Sparse(local))}, None), 10.0, 0.5).final.y, atol=rounding
    )


@pytest.mark.slow
def test_controlled_steps_on_a_surface():
    import diffrax as dfx

    net = surface()
    control = dfx.PIDController(rtol=1e-5, atol=1e-7)
    start = np.random.default_rng(4).normal(0, 0.3, (2, VERTICES))
    steps = gx.simulate(net, 20.0, 0.125, start=start).final.y
    chosen = gx.simulate(net, 20.0, 0.125, start=start, solver=dfx.Tsit5(), stepsize_controller=control).final.y
    np.testing.assert_allclose(chosen, steps, atol=2e-3)


@pytest.mark.once
def test_what_is_wrong_is_said():
    small = gx.Connectome(np.ones((3, 3)), labels=["A", "B", "C"])
    coupling = gx.couplings.Linear(source="x", target="c_x")
    with pytest.raises(ValueError, match="2 regions have no vertex: A, C"):
        gx.Network(gx.models.Hopf(), coupling, small, surface=gx.Surface([1, 1, 1]))
    with pytest.raises(ValueError, match=r"region 5, the connectome 3 regions"):
        gx.Network(gx.models.Hopf(), coupling, small, surface=gx.Surface([0, 1, 2, 5]))
    for wrong in ([0.5, 1.0], [[0, 1]], [-1, 0], []):
        with pytest.raises(ValueError, match="whole numbers from 0 on"):
            gx.Surface(wrong)
    with pytest.raises(ValueError, match="2 vertices and 1 labels"):
        gx.Surface([0, 1], ["a"])
    between = gx.couplings.Linear(source="x", target="c_x", weights=np.ones((4, 4)))
    with pytest.raises(ValueError, match=r"the connectome of \(3, 3\); weights between vertices are gx\.Sparse"):
        gx.Network(gx.models.Hopf(), between, small, surface=gx.Surface([0, 1, 2, 2]))
    with pytest.raises(ValueError, match=r"shape \(3, 3\), there are 4 nodes"):
        few = gx.couplings.Linear(source="x", target="c_x", weights=gx.Sparse(np.eye(3)))
        gx.Network(gx.models.Hopf(), few, small, surface=gx.Surface([0, 1, 2, 2]))
    with pytest.raises(ValueError, match="2 of 4 weights are not finite"):
        gx.Sparse(np.array([[1.0, np.nan], [np.inf, 1.0]]))
    with pytest.raises(ValueError, match="matrix"):
        gx.Sparse(np.ones(3))


def test_repr_tells_of_vertices():
    assert repr(surface()).startswith("Network of 11 vertices in 3 regions")
    assert "connections, weights 0.1" in repr(gx.Sparse(neighbours()))
    assert gx.per_region(surface(), "model.a").model.a.shape == (VERTICES,)


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize(
    ("sparse", "square", "features"), [(True, True, 2), (True, False, 1), (False, True, 2), (False, False, 1)]
)
def test_a_product_has_its_derivatives_in_every_direction(sparse, square, features):
    """Forward, backward, twice, and side by side, by what is sent and by the weights."""
    dense = neighbours(2)[:, : VERTICES if square else 7]
    weights = gx.Sparse(dense)
    there = weights.values if sparse else jnp.asarray(dense)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(features, dense.shape[1])))

    def few(values, x):
        laid_out = prepared(eqx.tree_at(lambda w: w.values, weights, values) if sparse else values)
        return jnp.sin(x @ laid_out).sum()

    def all_of(values, x):
        full = jnp.zeros(dense.shape).at[np.nonzero(dense)].set(values) if sparse else values
        return jnp.sin(x @ full.T).sum()

    several = jnp.stack([x, 2 * x])
    for derivative in (
        lambda f: jax.grad(f, (0, 1))(there, x),
        lambda f: jax.jacfwd(f, (0, 1))(there, x),
        lambda f: jax.jacfwd(jax.grad(f, 1), (0, 1))(there, x),
        lambda f: jax.jacrev(jax.grad(f, (0, 1)), 1)(there, x),
        lambda f: jax.vmap(jax.grad(f, (0, 1)), (None, 0))(there, several),
        lambda f: jax.grad(lambda w, x: jax.vmap(f, (None, -1))(w, x).sum(), (0, 1))(
            there, jnp.moveaxis(several, 0, -1)
        ),
        lambda f: jax.vmap(jax.grad(f, (0, 1)), (0, None))(jnp.stack([there, 2 * there]), x),
        lambda f: jax.vmap(jax.vmap(jax.grad(f, (0, 1)), (None, 0)), (None, 0))(there, several[None]),
        lambda f: jax.grad(jax.checkpoint(f), (0, 1))(there, x),
    ):
        found, expected = jax.jit(lambda d=derivative: (d(few), d(all_of)))()
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)
