"""What every model, coupling, noise, waveform and stimulus promises. A new class joins by an entry in CASES of tests/families."""

import dataclasses
import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from families import CASES
from gyrax import stimuli
from gyrax.network import living, pairs
from gyrax.parameters.addresses import domains, leaf_names

SINGLE = jnp.result_type(float) == jnp.float32
N = 3
WEIGHTS = np.array([[0.0, 1.0, 0.5], [0.3, 0.0, 0.7], [0.9, 0.2, 0.0]])

FAMILIES = {
    "models": (gx.models, gx.AbstractModel),
    "couplings": (gx.couplings, gx.AbstractCoupling),
    "plasticity": (gx.plasticity, gx.AbstractCoupling),
    "noise": (gx.noise, gx.AbstractNoise),
    "stimuli": (stimuli, (stimuli.AbstractWaveform, stimuli.AbstractStimulus)),
}
#: Parameters that are arrays by nature: samples, and one weight a region.
SERIES = ("values", "pattern")
#: Scoped so that all tests of one class follow each other: on one worker, with the programs that they share.
every = pytest.mark.parametrize("name", CASES, scope="module")
#: The same where more than one program is compiled; the gradient of this one takes as long as those of twenty others.
HEAVY = ("models.ZerlautAdaptationSecondOrder",)
many = [pytest.param(name, marks=[pytest.mark.long] * (name in HEAVY)) for name in CASES]
compiled = pytest.mark.parametrize("name", many, scope="module")
#: Of models some: the others' programs are compiled by the other tests.
SOME = ("models.Hopf", "models.JansenRit", "models.WongWang", "models.Epileptor", "models.ALN")
light = [
    pytest.param(name, marks=[pytest.mark.slow] * (name.startswith("models.") and name not in SOME)) for name in CASES
]


@pytest.mark.once
def test_every_public_class_is_here():
    public = {
        f"{family}.{name}"
        for family, (module, kind) in FAMILIES.items()
        for name, what in vars(module).items()
        if inspect.isclass(what) and issubclass(what, kind) and not inspect.isabstract(what) and name[0] != "_"
    }
    assert public == set(CASES)
    for name, (case, _) in CASES.items():
        assert type(case).__name__ == name.split(".")[1]


def at(name: str, seed: int = 0) -> jax.Array:
    """Random values of the rows a class works on, `(row, node)`."""
    low, high = np.array(CASES[name][1]).T[:, :, None]
    return jnp.asarray(np.random.default_rng(seed).uniform(low, high, (len(low), N)))


def fed(case, y):
    """What a coupling feeds, and how states of its own move where they begin, the mean of each target's connections."""
    weights = jnp.asarray(WEIGHTS, y.dtype)
    own = {name: jnp.broadcast_to(getattr(case, name), (1, N)) for name in case.source_states}
    sent, flow = living.encoded(case, y, own), living.source_flow(case, y, own)
    if not isinstance(case, gx.AbstractPairCoupling):
        return jnp.stack([*case.decode(sent @ weights.T, y, weights.sum(1)), *flow.values()])
    case = pairs.connected(case, "coupling", WEIGHTS, None)
    messages = pairs.Messages.of(case, weights)
    states = {name: jnp.broadcast_to(getattr(case, name), case.edges.shape) for name in case.edge_states}
    ends = messages.ends(sent, y, None)
    moved = [x.mean(0) for x in messages.flow(case, ends, states).values()]
    return jnp.stack([*case.decode(messages.total(case, ends, states), y, weights.sum(1)), *moved])


def value(case, y):
    """What the class computes from the rows, and everything it computes with."""
    if isinstance(case, gx.AbstractModel):
        u = 0.1 * (1 + jnp.arange(len(case.inputs) * N, dtype=y.dtype).reshape(-1, N))
        outputs = case.read(case.outputs, y) if case.outputs else y[:0]
        return jnp.concatenate([case.drift(0.0, y, u), outputs])
    if isinstance(case, gx.AbstractCoupling):
        return fed(case, y)
    if isinstance(case, stimuli.AbstractWaveform):
        return jnp.broadcast_to(case(y), y.shape)
    if isinstance(case, stimuli.AbstractStimulus):
        return jnp.concatenate([jnp.broadcast_to(row, y.shape) for row in case(y).values()])
    return jnp.broadcast_to(case.diffusion(0.0, y), y.shape)


traces: list[int] = []


@eqx.filter_jit
def evaluate(case, y):
    traces.append(1)
    return value(case, y)


@jax.jit
@jax.grad
def pulled(arguments, seen):
    """Gradient, by the class and its rows, of what is computed from them seen through weights."""
    return jnp.vdot(seen, value(*arguments))


def through(seen, case, y) -> float:
    return float(np.vdot(seen, evaluate(case, y)))


def parameters(case) -> dict:
    """Domains of the parameters that are there, by their dotted names."""
    return dict(zip(leaf_names(case), domains(case), strict=True))


def leaf(case, name: str):
    return dict(zip(leaf_names(case), jax.tree.leaves(case), strict=True))[name]


def declared(case) -> dict:
    """The class's own fields that are parameters and there."""
    fields = {f.name: f for f in dataclasses.fields(case) if "domain" in f.metadata}
    return {name: field for name, field in fields.items() if getattr(case, name) is not None}


def replaced(case, values: dict):
    leaves, tree = jax.tree.flatten(case)
    new = [jnp.asarray(values.get(name, x)) for name, x in zip(leaf_names(case), leaves, strict=True)]
    return jax.tree.unflatten(tree, new)


def shifted(case, rng, spread: float):
    """The case at a random point of its domain, one value a region."""
    values = {}
    for name, domain in parameters(case).items():
        real = domain.to_real(leaf(case, name))
        values[name] = domain.from_real(real + jnp.asarray(rng.normal(0, spread, real.shape or N)))
    return replaced(case, values)


def points(name: str) -> list:
    """The class with its defaults, and at three random points of its domain, one value a region."""
    case, rng = CASES[name][0], np.random.default_rng(5)
    return [case, *(shifted(case, rng, 0.5) for _ in range(3))]


@every
def test_parameters_are_strong_floats_inside_their_domain(name):
    case, _ = CASES[name]
    assert parameters(case), "a class without parameters"
    for key, domain in parameters(case).items():
        x = leaf(case, key)
        assert x.dtype == jnp.result_type(float) and not x.weak_type, key
        assert x.shape == () or key.split(".")[-1] in SERIES, key
        assert domain.contains(x).all(), key
    for key, field in declared(case).items():
        size, scale = field.default, getattr(field.metadata["domain"], "scale", None)
        # a default of 0 has no magnitude: its scale is given
        assert not size or size is dataclasses.MISSING or scale is None or np.isclose(scale, abs(size)), key
    own = [f.name for f in dataclasses.fields(case) if eqx.is_array(getattr(case, f.name, None))]
    assert own == list(declared(case)), "an array that is not declared by parameter()"
    for point in points(name):
        assert all(domain.contains(leaf(point, key)).all() for key, domain in parameters(case).items())


@pytest.mark.once
@pytest.mark.parametrize("name", light, scope="module")
@pytest.mark.slow("float64")
def test_jit_and_vmap_change_nothing(name, rounding):
    case, _ = CASES[name]
    rows = jnp.stack([at(name, seed) for seed in range(4)])
    jitted = evaluate(case, rows[0])
    plain = np.stack([evaluate(case, y) for y in rows])
    scale = np.abs(plain).max()
    assert np.isfinite(plain).all() and scale > 0
    eager = value(case, rows[0])
    assert jitted.dtype == eager.dtype == rows.dtype and not (jitted.weak_type or eager.weak_type)
    np.testing.assert_allclose(jitted, eager, rtol=rounding, atol=rounding * scale)
    over_states = jax.jit(jax.vmap(value, (None, 0)))(case, rows)
    np.testing.assert_allclose(over_states, plain, rtol=rounding, atol=rounding * scale)
    cases = points(name)[1:]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *cases)
    alone = np.stack([evaluate(c, rows[0]) for c in cases])
    assert (alone[0] != alone[1]).any()
    over_cases = jax.jit(jax.vmap(value, (0, None)))(stacked, rows[0])
    np.testing.assert_allclose(over_cases, alone, rtol=rounding, atol=rounding * np.abs(alone).max())


def _needed(case, field) -> bool:
    given = (field.default, field.default_factory)
    absent = field.default is None and getattr(case, field.name) is not None
    return all(x is dataclasses.MISSING for x in given) or absent or bool(field.metadata.get("static"))


@pytest.mark.once
@every
@pytest.mark.slow("float64")
def test_compiles_once_for_all_values(name):
    """No weak types and no values in the program: a step of an optimiser never compiles anew."""
    case = CASES[name][0]
    evaluate(case, at(name))
    before = len(traces)
    assert before
    for factor in (1.0, 1.1, 1.2):
        stepped = jax.tree.map(lambda x, f=factor: x * f, case)
        evaluate(stepped, at(name))
        needed = {f.name: getattr(case, f.name) for f in dataclasses.fields(case) if _needed(case, f)}
        evaluate(type(case)(**needed), at(name))
    assert len(traces) == before


@pytest.mark.once
@every
@pytest.mark.slow("float64")
def test_a_value_a_region_means_the_same_as_one_value(name, rounding):
    case, y = CASES[name][0], at(name)
    shared = np.asarray(evaluate(case, y))
    wide = replaced(case, {key: jnp.full(N, x) for key in parameters(case) if (x := leaf(case, key)).ndim == 0})
    np.testing.assert_allclose(evaluate(wide, y), shared, rtol=rounding, atol=rounding * np.abs(shared).max())
    states = [at(name, seed) for seed in range(6)]
    for key in parameters(case):
        # changing the last region's value changes what the last region sends or does, and no other region's own drift
        one = replaced(wide, {key: leaf(wide, key).at[-1].multiply(1.1).at[-1].add(0.01)})
        # in one of several states: some parameters act on one side of a threshold alone
        pairs = ((evaluate(one, x), evaluate(wide, x)) for x in states)
        changed = np.any([np.asarray(a) != np.asarray(b) for a, b in pairs], axis=0)
        assert changed.any(), f"{key} does nothing"
        if not isinstance(case, gx.AbstractCoupling) and leaf(wide, key).shape == (N,):
            assert not changed[:, :-1].any() and changed[:, -1].any(), key


def directional(case, y, rng):
    """A random direction in parameters and state, as large as they are; seen through random weights of the outputs."""
    sizes = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype) * jnp.abs(x), (case, y))
    return sizes, jnp.asarray(rng.normal(size=jax.eval_shape(value, case, y).shape), y.dtype)


@pytest.mark.slow("float64", "float32")
@compiled
def test_gradients_are_finite_and_equal_finite_differences(name):
    """Every parameter by itself, and the state, at the default and at random points of the domain; of fourth order."""
    y, rng = at(name, 1), np.random.default_rng(2)
    h = 3e-3 if SINGLE else 1e-5
    for point in points(name)[: 2 if SINGLE else None]:
        direction, seen = directional(point, y, rng)
        gradient = pulled((point, y), seen)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
        if SINGLE and name.startswith("stimuli."):
            continue  # steps that single precision can tell would cross the corners of a pulse
        leaves, tree = jax.tree.flatten((point, y))
        slopes, directions = jax.tree.leaves(gradient), jax.tree.leaves(direction)
        noise = (1e-5 if SINGLE else 1e-11) * (abs(through(seen, point, y)) + 1e-3) / h
        for i in range(len(leaves)):
            ends = []
            for step in (h, -h, 2 * h, -2 * h):
                moved = [*leaves[:i], leaves[i] + step * directions[i], *leaves[i + 1 :]]
                ends.append(through(seen, *jax.tree.unflatten(tree, moved)))
            numeric = (8 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12 * h)
            exact = jnp.vdot(slopes[i], directions[i])
            np.testing.assert_allclose(exact, numeric, rtol=2e-3 if SINGLE else 1e-6, atol=noise)


@pytest.mark.slow("float64", "float32")
@compiled
def test_gradients_stay_finite_far_out(name):
    """States ten times as large, parameters far from the defaults."""
    case, rng = CASES[name][0], np.random.default_rng(8)
    for factor in (0.0, -10.0, 10.0):
        far, y = shifted(case, rng, 4.0), factor * at(name)
        by_case, _ = pulled((far, y), 2 * evaluate(far, y))  # of the sum of squares
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(by_case))


@pytest.mark.once
@every
def test_repr_tells_name_values_and_units(name):
    case, _ = CASES[name]
    text = repr(case)
    assert text.startswith(type(case).__name__ + "(")
    units = {key: field.metadata["unit"] for key, field in declared(case).items()}
    for key in parameters(case):
        x, last = leaf(case, key), key.split(".")[-1]
        if x.ndim == 0:
            assert f"{last}={float(x):.4g}" + (f" {units[key]}" if units.get(key) else "") in text
    shown = []
    jax.jit(lambda c: shown.append(repr(c)))(case)
    assert "<traced float" in shown[0]
    assert f"({N})" in repr(points(name)[1])


@pytest.mark.once
@every
def test_every_parameter_and_class_is_documented(name):
    case, _ = CASES[name]
    assert type(case).__doc__ and "Example:" in type(case).__doc__
    for key, field in declared(case).items():
        assert field.metadata["doc"], key


@pytest.mark.once
@every
@pytest.mark.slow("float64")
def test_works_in_either_precision(name):
    """With the other precision switched on too: results agree to single precision, and keep the dtype asked for."""
    results = []
    for double in (False, True):
        with jax.enable_x64(double):
            dtype = jnp.result_type(float)
            case = jax.tree.map(lambda x, d=dtype: jnp.asarray(np.asarray(x), d), CASES[name][0])
            out = evaluate(case, jnp.asarray(np.asarray(at(name, 3)), dtype))
            assert out.dtype == dtype == (np.float64 if double else np.float32)
            results.append(np.asarray(out))
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5 * np.abs(results[1]).max())
