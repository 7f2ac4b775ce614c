"""Which leaves are free: selected, taken out, put back, and nothing else touched."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gyrax as gx
from gyrax.parameters.addresses import domains, leaf_names
from gyrax.parameters.selection import Follows

MODELS = {"wong_wang": gx.models.WongWang, "hopf": gx.models.Hopf, "jansen_rit": gx.models.JansenRit}


@pytest.fixture
def net(small_connectome):
    coupling = {
        "far": gx.couplings.Linear(source="S", strength=0.3),
        "near": gx.couplings.Linear(source="S", strength=0.3),
    }
    return gx.Network(gx.models.WongWang(), coupling, small_connectome, gx.Delay(3.0), gx.noise.White(sigma=0.02))


def free_names(spec):
    return {n for n, mark in zip(leaf_names(spec), jax.tree.leaves(spec), strict=True) if mark is not False}


def test_what_a_selection_frees(net):
    spec = gx.select(net, lambda n: n.model.w, "coupling.far.strength", "noise.sigma")
    assert free_names(spec) == {"model.w", "coupling.far.strength", "noise.sigma"}
    assert jax.tree.structure(spec) == jax.tree.structure(net)
    parameters = {f"model.{n}" for n in ("w", "J_N", "I_o", "a", "b", "d", "gamma", "tau_S")}
    assert free_names(gx.select(net, lambda n: n.model)) == free_names(gx.select(net, "model")) == parameters
    assert free_names(gx.select(net, lambda n: (n.model.w, n.model.a))) == {"model.w", "model.a"}
    assert free_names(gx.select(net, gx.Free("coupling"))) == {"coupling.far.strength", "coupling.near.strength"}


def test_dotted_paths_are_whole_names(net):
    """`model.a` is not `model.a_1`, and `coupling.far` not `coupling.farther`."""
    model = gx.models.JansenRit()
    assert free_names(gx.select(model, "a")) == {"a"}
    assert free_names(gx.select({"x": 1.0, "xy": 2.0}, "x")) == {"x"}
    assert free_names(gx.select({"a": [1.0, 2.0]}, "a.1")) == {"a.1"}


def test_a_spec_is_an_ordinary_filter_spec(net):
    mask = np.arange(5) < 2
    net = gx.per_region(net, "model.w")
    tie = gx.Tie("coupling.far.strength", "coupling.near.strength")
    spec = gx.select(net, gx.Free("model.w", mask=mask), "model.I_o", tie)
    free, fixed = eqx.partition(net, spec)
    assert set(leaf_names(free)) == {"model.w", "model.I_o", "coupling.far.strength"}  # who follows is not free
    gradient = eqx.filter_grad(lambda free: jnp.sum(eqx.combine(free, fixed).model.w ** 2))(free)
    np.testing.assert_allclose(gradient.model.w, 2 * net.model.w)
    assert gradient.model.I_o == 0 and gradient.model.J_N is None


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
def test_join_is_the_inverse_of_split(name, data):
    """For every parameter of a model at values all over its domain."""
    model = MODELS[name]()
    values = []
    for domain in domains(model):
        scale, low = domain.scale or 1.0, getattr(domain, "lower", None)
        if isinstance(domain, gx.Interval):
            value = low + (domain.upper - low) * data.draw(st.floats(1e-4, 1 - 1e-4))
        elif low is not None:
            value = low + scale * 10.0 ** data.draw(st.floats(-6, 4))
        else:
            value = scale * round(data.draw(st.floats(-1e3, 1e3)), 9)  # XLA flushes subnormals to zero
        values.append(jnp.asarray(value, float))
    model = jax.tree.unflatten(jax.tree.structure(model), values)
    free, fixed = gx.split(model, gx.select(model, lambda m: m))
    back = gx.join(free, fixed)
    assert jax.tree.structure(back) == jax.tree.structure(model)
    eps = float(jnp.finfo(jnp.result_type(float)).eps)
    for one, two in zip(jax.tree.leaves(back), values, strict=True):
        np.testing.assert_allclose(one, two, rtol=60 * eps)
        assert one.dtype == two.dtype and not one.weak_type


def test_split_takes_out_what_is_free_and_nothing_else(net):
    free, fixed = gx.split(net, gx.select(net, "model.w", "noise.sigma"))
    assert leaf_names(free) == ["model.w", "noise.sigma"]
    assert repr(fixed) == f"Fixed({len(jax.tree.leaves(net)) - 2} frozen leaves; free: model.w, noise.sigma)"
    back = gx.join(jax.tree.map(lambda x: x + 1.0, free), fixed)
    for name, a, b in zip(leaf_names(net), jax.tree.leaves(net), jax.tree.leaves(back), strict=True):
        assert (a is b) == (name not in ("model.w", "noise.sigma")), name
    assert 0.6 < back.model.w < 2.0 and back.noise.sigma > 0.02


@pytest.mark.slow
def test_the_optimiser_only_ever_sees_the_free_entries(net, key):
    """Momentum and weight decay touch nothing else: the rest of a masked leaf and frozen leaves stay bit for bit."""
    net = gx.per_region(net, "model.w", "model.I_o")
    mask = np.array([True, False, True, False, False])
    spec = gx.select(net, gx.Free("model.w", mask=mask), "noise.sigma")
    free, fixed = gx.split(net, spec)
    assert free.model.w.shape == (2,)
    optimiser = optax.adamw(0.1, weight_decay=0.5)
    state = optimiser.init(free)
    sizes = sorted(np.size(x) for x in jax.tree.leaves(state))
    assert sizes == [1, 1, 1, 2, 2]  # a count, and two moments of each free leaf

    @jax.jit
    def step(free, state):
        gradient = jax.grad(lambda f: sum(jnp.sum(x**2) for x in jax.tree.leaves(gx.join(f, fixed).model)))(free)
        updates, state = optimiser.update(gradient, state, free)
        return optax.apply_updates(free, updates), state

    for _ in range(3):
        free, state = step(free, state)
    back = gx.join(free, fixed)
    assert (np.asarray(back.model.w != net.model.w) == mask).all()
    assert back.noise.sigma != net.noise.sigma  # decayed: that one is free
    for name, a, b in zip(leaf_names(net), jax.tree.leaves(net), jax.tree.leaves(back), strict=True):
        if name not in ("model.w", "noise.sigma"):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_a_mask_of_a_matrix_keeps_its_places(net):
    weights = np.asarray(net.connectome.weights)
    mask = np.zeros((5, 5), bool)
    mask[0, 3] = mask[4, 1] = True
    free, fixed = gx.split(net, gx.select(net, gx.Free("connectome.weights", domain=gx.Positive(), mask=mask)))
    assert jax.tree.leaves(free)[0].shape == (2,)
    moved = np.asarray(gx.join(jax.tree.map(lambda x: x + jnp.asarray([1.0, 2.0]), free), fixed).connectome.weights)
    assert ((moved != weights) == mask).all()
    unmoved = np.asarray(gx.join(free, fixed).connectome.weights)
    np.testing.assert_allclose(unmoved, weights, rtol=1e-5)
    np.testing.assert_array_equal(unmoved[~mask], weights[~mask])


def test_ties_follow(net):
    spec = gx.select(net, gx.Tie("coupling.far.strength", lambda n: n.coupling["near"].strength))
    assert isinstance(spec.coupling["near"].strength, Follows)
    free, fixed = gx.split(net, spec)
    assert leaf_names(free) == ["coupling.far.strength"]
    back = gx.join(jax.tree.map(lambda x: x + 1.0, free), fixed)
    assert back.coupling["near"].strength == back.coupling["far"].strength > 0.4
    value = lambda f: gx.join(f, fixed).coupling["near"].strength * 3.0  # noqa: E731
    slope = jax.tree.leaves(jax.grad(value)(free))[0]
    assert 0 < slope < 3.0  # reaches the leaf that leads
    model = gx.models.JansenRit(a_3=0.25, a_4=0.25, a_2=0.25)
    free, fixed = gx.split(model, gx.select(model, gx.Tie("a_4", "a_2", "a_3")))
    back = gx.join(jax.tree.map(lambda x: x - 1.0, free), fixed)
    assert back.a_2 == back.a_3 == back.a_4 < 0.25


def test_an_experiment_may_override_a_domain(net):
    start = gx.split(net, gx.select(net, gx.Free("model.w", domain=gx.Interval(0.5, 0.7))))
    for real, end in ((-50.0, 0.5), (50.0, 0.7)):
        w = gx.join(jax.tree.map(lambda x, real=real: jnp.full_like(x, real), start[0]), start[1]).model.w
        np.testing.assert_allclose(w, end, rtol=1e-5)
    free, _ = gx.split(net, gx.select(net, gx.Free("model.a", domain=gx.Real())))
    np.testing.assert_allclose(free.model.a, 1.0)  # an own domain without a scale keeps the declared one's, 270
    free, _ = gx.split(net, gx.select(net, gx.Free("model.a", domain=gx.Real(scale=27.0))))
    np.testing.assert_allclose(free.model.a, 10.0, rtol=1e-6)


def test_other_filter_specs_work_too(net):
    by_type, fixed = gx.split(net.model, eqx.is_inexact_array)
    assert len(jax.tree.leaves(by_type)) == 8
    prefix = eqx.tree_at(lambda n: n.model, jax.tree.map(lambda _: False, net), True)
    free, fixed = gx.split(net, prefix)
    assert len(jax.tree.leaves(free)) == 8
    np.testing.assert_allclose(gx.join(free, fixed).model.tau_S, 100.0, rtol=1e-5)
    with pytest.raises(TypeError, match="a filter spec holds True, False or functions"):
        gx.split(net.model, jax.tree.map(lambda _: "free", net.model))


class Bare(eqx.Module):
    """A Module that knows nothing of gyrax."""

    x: float = 0.5
    weak: jax.Array = eqx.field(default_factory=lambda: jnp.asarray(2.0))
    count: jax.Array = eqx.field(default_factory=lambda: jnp.arange(3))
    name: str = "plain"


def test_a_module_of_plain_fields():
    model = Bare()
    spec = gx.select(model, lambda m: m)
    assert free_names(spec) == {"x", "weak"}
    free, fixed = gx.split(model, spec)
    assert free.x.dtype == jnp.result_type(float)
    assert not free.x.weak_type and not free.weak.weak_type
    back = gx.join(jax.tree.map(lambda x: x + 1, free), fixed)
    assert (back.x, back.weak, back.name) == (1.5, 3.0, "plain")


def test_per_region(net):
    wide = gx.per_region(net, "model.w", lambda n: n.noise.sigma)
    np.testing.assert_array_equal(wide.model.w, np.full(5, net.model.w))
    assert wide.noise.sigma.shape == (5,) and wide.model.a.shape == ()
    assert net.model.w.shape == ()
    np.testing.assert_array_equal(gx.per_region(wide, "model.w").model.w, wide.model.w)
    column = eqx.tree_at(lambda n: n.model.w, net, jnp.asarray([0.7]))
    np.testing.assert_array_equal(gx.per_region(column, "model.w").model.w, np.full(5, jnp.asarray(0.7)))
    assert {x.shape for x in jax.tree.leaves(gx.per_region(net, "model").model)} == {(5,)}
    weak = eqx.tree_at(lambda n: n.model.w, net, jnp.asarray(0.7))
    assert not gx.per_region(weak, "model.w").model.w.weak_type
    with pytest.raises(ValueError, match=r"connectome.weights has shape \(5, 5\): only a scalar"):
        gx.per_region(net, "connectome.weights")
    with pytest.raises(ValueError, match="which leaves"):
        gx.per_region(net)


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ["model.J_M"], ValueError, "no parameter 'model.J_M'; did you mean 'model.J_N'"),
        (lambda: ["net.tau_S"], ValueError, "no parameter 'net.tau_S'; did you mean 'model.tau_S'"),
        (lambda: ["qqqqqq"], ValueError, "no parameter 'qqqqqq'; there are: model.w, model.J_N"),
        (lambda: [lambda n: n.model.nope], ValueError, "no attribute 'nope'; the leaves are: model.w"),
        (lambda: [lambda n: n.model.w * 2], ValueError, "a selection returns leaves of the network as they are"),
        (lambda: [lambda n: 0], ValueError, "a selection returns leaves .* returned 0"),
        (lambda: [lambda n: None], ValueError, "a selection returns leaves .* returned None"),
        (lambda: ["model.w", lambda n: n.model.w], ValueError, "model.w is selected twice"),
        (lambda: ["model", gx.Free("model.w", domain=gx.Positive())], ValueError, "model.w is selected twice"),
        (lambda: ["model.w", gx.Tie("model.J_N", "model.w")], ValueError, "model.w is to follow model.J_N but starts"),
        (
            lambda: [gx.Free("model.w", mask=[True, False])],
            ValueError,
            r"mask for model.w has shape \(2,\), the leaf \(\)",
        ),
        (
            lambda: [gx.Free("connectome.weights", mask=np.zeros((5, 5), bool))],
            ValueError,
            "mask for connectome.weights frees nothing",
        ),
        (lambda: [gx.Tie("model.w", "connectome.weights")], ValueError, r"weights \(5, 5\) cannot follow model.w \(\)"),
        (lambda: [gx.Tie("coupling", "model.w")], ValueError, "the first is one leaf, not 2"),
        (lambda: [], ValueError, "select what"),
    ],
)
def test_wrong_selections_are_named(make, error, message, net):
    with pytest.raises(error, match=message):
        gx.select(net, *make())


def test_masks_and_ties_are_checked_when_made():
    with pytest.raises(TypeError, match=r"mask= takes True and False, .* dtype int64"):
        gx.Free("w", mask=np.array([0, 1]))
    with pytest.raises(TypeError):
        gx.Free("w", domain="positive")
    with pytest.raises(ValueError, match="Tie needs at least two leaves"):
        gx.Tie("w")
    free = gx.Free("w", domain=gx.Positive(), mask=[True, False])
    assert repr(free) == "Free('w', domain=Positive(scale=None), mask=1 of 2)"


@pytest.mark.parametrize("where", ["count", lambda m: m.count, "name", gx.Free("count"), gx.Tie("x", "count")])
def test_only_floats_can_be_free(where):
    with pytest.raises(TypeError, match=r"(count|name) is .*: only floating-point arrays can be free"):
        gx.select(Bare(), where)


@pytest.mark.once
def test_a_start_outside_of_its_domain_is_named(net):
    wide = eqx.tree_at(lambda n: n.model.w, net, jnp.asarray([0.5, 0.6, 2.0, 0.7, 3.0]))
    with pytest.raises(
        ValueError, match=r"model.w\[2\] = 2 does not lie inside its domain Interval\(lower=0.0, upper=2"
    ):
        gx.split(wide, gx.select(wide, "model.w"))
    mask = np.array([True, True, False, True, False])
    gx.split(wide, gx.select(wide, gx.Free("model.w", mask=mask)))  # what is not free may be anywhere
    matrix = gx.Free("connectome.weights", domain=gx.Interval(-1.0, 0.5))
    with pytest.raises(ValueError, match=r"connectome.weights\[0, \d\] = .* domain Interval\(lower=-1.0, upper=0.5"):
        gx.split(net, gx.select(net, matrix))
    for value in (0.0, np.nan, np.inf):
        bad = eqx.tree_at(lambda n: n.noise.sigma, net, jnp.asarray(value))
        with pytest.raises(ValueError, match=r"noise.sigma = (0|nan|inf) does not lie inside its domain Positive"):
            gx.split(bad, gx.select(bad, "noise.sigma"))
    with pytest.raises(ValueError, match="the spec frees no leaf"):
        gx.split(net, jax.tree.map(lambda _: False, net))


def test_join_refuses_what_is_of_another_split(net):
    fixed = gx.split(net, gx.select(net, "model.w", "model.a"))[1]
    for other in (["model.w"], ["model.w", "model.b"]):
        with pytest.raises(ValueError, match="not one split's two"):
            gx.join(gx.split(net, gx.select(net, *other))[0], fixed)
    net = gx.per_region(net, "model.w")
    masks = [np.arange(5) < n for n in (1, 3)]
    splits = [gx.split(net, gx.select(net, gx.Free("model.w", mask=mask))) for mask in masks]
    with pytest.raises(ValueError, match=r"has \(1,\) entries of model.w and `fixed` expects \(3,\): another mask"):
        gx.join(splits[0][0], splits[1][1])


@pytest.mark.slow
def test_under_jit_vmap_and_grad(net, rounding):
    spec = gx.select(net, "model.w", gx.Free("connectome.weights", domain=gx.Real(), mask=np.eye(5, k=1) > 0))

    @eqx.filter_jit
    def both(net):
        free, fixed = gx.split(net, spec)
        return gx.join(free, fixed)

    back = both(net)
    np.testing.assert_allclose(back.model.w, net.model.w, rtol=10 * rounding)
    np.testing.assert_allclose(back.connectome.weights, net.connectome.weights, rtol=10 * rounding)

    free, fixed = gx.split(net, spec)
    batch = jax.tree.map(lambda x: jnp.stack([x, x + 1, x - 1]), free)
    value = lambda f: gx.join(f, fixed).model.w ** 2 + gx.join(f, fixed).connectome.weights.sum()  # noqa: E731
    together = jax.vmap(value)(batch)
    alone = [value(jax.tree.map(lambda x, i=i: x[i], batch)) for i in range(3)]
    np.testing.assert_allclose(together, alone, rtol=10 * rounding)
    gradient = jax.grad(value)(free)
    np.testing.assert_allclose(gradient.connectome.weights, 1.0)
    h, close = (1e-2, 1e-2) if rounding > 1e-6 else (1e-5, 1e-7)
    move = lambda s: eqx.tree_at(lambda f: f.model.w, free, free.model.w + s)  # noqa: E731
    np.testing.assert_allclose(gradient.model.w, (value(move(h)) - value(move(-h))) / (2 * h), rtol=close)


def test_names_of_leaves():
    assert leaf_names({"a": (1.0, [2.0]), "b": gx.models.Linear()}) == ["a.0", "a.1.0", "b.gamma"]
