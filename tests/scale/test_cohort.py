"""A cohort against its networks run one by one: runs, gradients, labels, files, checkpoints, and what it refuses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array

import gyrax as gx
from conftest import DOUBLE
from gyrax.anatomy.edges import Edges

LABELS = ("V1", "M1", "A1", "S1", "PFC")
NAMES = ("sub-01", "sub-02", "sub-03")
CLOSE = {"rtol": 1e-9, "atol": 1e-12} if DOUBLE else {"rtol": 2e-4, "atol": 2e-6}


def regions(seed, density=0.45, longest=30.0):
    """A connectome with connections and tract lengths of its own."""
    rng = np.random.default_rng(seed)
    n = len(LABELS)
    there = (rng.random((n, n)) < density) & ~np.eye(n, dtype=bool)
    lengths = rng.uniform(2.0, longest, (n, n))
    return gx.Connectome(there * rng.uniform(0.2, 1.0, (n, n)), lengths, LABELS)


def network(seed, kind="linear", delay=None, noise=True, w=None):
    """A small network, its connectome by a seed."""
    noise = gx.noise.White(sigma=0.02) if noise else None
    where = regions(seed)
    if kind == "pairs":
        coupling = gx.couplings.Sakaguchi(source="theta", strength=0.05, lag=0.5 * np.asarray(where.weights))
        return gx.Network(gx.models.Kuramoto(), coupling, where, delay, noise)
    model = gx.models.WongWang(w=0.5 + 0.1 * seed if w is None else w)
    return gx.Network(model, gx.couplings.Linear(source="S", strength=0.2), where, delay, noise)


def subjects(**options):
    return {name: network(i, **options) for i, name in enumerate(NAMES)}


def final_states(net, data, key):
    return gx.simulate(net, 40.0, 1.0, key=key, monitors={"raw": gx.monitors.Raw()})["raw"].values


def both(nets, key=0):
    """What a cohort makes of its networks, and what each network makes by itself, before it knew of any cohort."""
    cohort = gx.Cohort(nets)
    together = eqx.filter_jit(lambda c: c.map(final_states, jax.random.key(key)))(cohort)
    alone = [final_states(net, None, cohort.key_of(name, key)) for name, net in nets.items()]
    return cohort, np.asarray(together), np.stack(alone)


ROUNDED = gx.Delay(speed=2.0)
BETWEEN = gx.Delay(speed=2.0, interpolation="linear", bounds=(1.0, 40.0))


@pytest.mark.parametrize(
    ("delay", "kind"),
    [
        (None, "linear"),
        (ROUNDED, "linear"),
        (None, "pairs"),
        pytest.param(ROUNDED, "pairs", marks=pytest.mark.long),
        pytest.param(BETWEEN, "linear", marks=pytest.mark.long),
        pytest.param(BETWEEN, "pairs", marks=pytest.mark.slow),
    ],
    ids=["at once-linear", "nearest-linear", "at once-pairs", "nearest-pairs", "linear-linear", "linear-pairs"],
)
def test_each_run_is_that_of_the_subjects_own_network(kind, delay):
    cohort, together, alone = both(subjects(kind=kind, delay=delay))
    assert not np.allclose(alone[0], alone[1], rtol=1e-3)
    np.testing.assert_allclose(together, alone, **CLOSE)
    if delay is ROUNDED:  # one subject of it is a network like any other
        one = final_states(cohort["sub-02"], None, cohort.key_of("sub-02", 0))
        np.testing.assert_allclose(one, alone[1], **CLOSE)


@pytest.mark.slow
def test_groups_several_couplings_and_delays_of_their_own():
    def net(seed):
        model = gx.Groups(
            {
                "thalamus": (gx.models.Linear(gamma=-0.2 - 0.1 * seed), ["A1"]),
                "cortex": (gx.models.Linear(gamma=-0.5), ...),
            }
        )
        far = gx.couplings.Linear(source="x", strength=0.1)
        own = gx.couplings.Linear(
            source="cortex.x", target="thalamus.c", weights=regions(seed + 10), delay=gx.Delay(speed=1.0 + seed)
        )
        return gx.Network(model, {"far": far, "own": own}, regions(seed), ROUNDED, gx.noise.White(sigma=0.1))

    _, together, alone = both({name: net(i) for i, name in enumerate(NAMES)})
    np.testing.assert_allclose(together, alone, **CLOSE)  # NaN where a region has no such state, in both


def test_delays_and_connections_are_those_of_any_subject():
    nets = subjects(kind="pairs", delay=ROUNDED)
    common = gx.Cohort(nets).network
    own = [net.delay.spans for net in nets.values()]
    np.testing.assert_array_equal(common.delay.spans.low, np.min([spans.low for spans in own], 0))
    np.testing.assert_array_equal(common.delay.spans.high, np.max([spans.high for spans in own], 0))
    assert common.delay.bounds == (
        min(n.delay.bounds[0] for n in nets.values()),
        max(n.delay.bounds[1] for n in nets.values()),
    )
    there = np.any([np.asarray(net.connectome.weights) != 0 for net in nets.values()], axis=0)
    assert all(net.coupling.edges.counts.sum() < there.sum() for net in nets.values())
    assert (common.coupling.edges.connected(5) == there).all()
    assert common.coupling.edges == Edges.of(there)


# What is individual


def test_what_differs_is_individual_and_what_is_the_same_is_there_once():
    cohort = gx.Cohort(subjects())
    assert set(cohort.individual) == {
        f"network.{name}" for name in ("model.w", "connectome.weights", "connectome.lengths")
    }
    assert cohort.network.model.w.shape == (3,) and cohort.network.coupling.strength.shape == ()
    assert cohort.network.connectome.weights.shape == (3, 5, 5)
    assert len(cohort) == 3 and list(cohort) == list(NAMES)
    same = gx.Cohort(dict.fromkeys(NAMES, network(0)))
    assert same.individual == ()
    wide = gx.per_subject(same, lambda c: c.network.coupling.strength, "network.model.w", "network.connectome.weights")
    assert wide.individual == ("network.model.w", "network.coupling.strength", "network.connectome.weights")
    np.testing.assert_array_equal(wide.network.coupling.strength, [same.network.coupling.strength] * 3)
    assert gx.per_subject(wide, "network.model.w").network.model.w.shape == (3,)
    assert eqx.tree_equal(wide["sub-03"], same["sub-03"])


def test_parameters_of_regions_may_be_individual():
    nets = {name: gx.per_region(net, "model.w") for name, net in subjects().items()}
    cohort = gx.Cohort(nets)
    assert cohort.network.model.w.shape == (3, 5) and cohort["sub-02"].model.w.shape == (5,)
    table = cohort.table("network.model.w", "network.coupling.strength")
    assert list(table.columns) == [f"network.model.w[{label}]" for label in LABELS] + ["network.coupling.strength"]
    np.testing.assert_allclose(table.loc["sub-03", "network.model.w[PFC]"], 0.7, rtol=1e-6)


def test_a_tuple_of_a_network_and_a_monitor():
    def pair(i):
        return network(i, delay=ROUNDED), gx.monitors.ObservationNoise(gx.monitors.Raw(), sigma=0.1 + i)

    cohort = gx.Cohort({name: pair(i) for i, name in enumerate(NAMES)})
    assert "network.0.model.w" in cohort.individual and "network.1.sigma" in cohort.individual
    found = cohort.map(lambda both, data, key: both[1].sigma + both[0].model.w)
    np.testing.assert_allclose(found, [0.6, 1.7, 2.8], rtol=1e-6)
    with pytest.raises(ValueError, match=r"network.0.delay.speed is to change.*no room"):
        gx.sweep(cohort, lambda c, key: c.network[0].delay.speed, {"network.0.delay.speed": [1.0, 2.0]})


def test_an_individual_leaf_needs_a_value_for_each_subject():
    cohort = gx.Cohort(subjects())
    wrong = eqx.tree_at(lambda c: c.network.model.w, cohort, jnp.ones(2))
    with pytest.raises(ValueError, match=r"network.model.w is individual and has shape \(2,\): expected \(3, ...\)"):
        wrong.map(lambda net, data, key: net.model.w)


# Noise


def test_each_subject_hears_its_own_noise_whoever_else_is_there():
    cohort = gx.Cohort(subjects())

    def heard(net, data, key):
        return jax.random.normal(key)

    found = cohort.map(heard, 3)
    assert len(set(found.tolist())) == 3
    np.testing.assert_array_equal(found, [jax.random.normal(cohort.key_of(name, 3)) for name in NAMES])
    np.testing.assert_array_equal(cohort.subset(["sub-03", "sub-01"]).map(heard, 3), found[jnp.array([2, 0])])
    assert not np.array_equal(found, cohort.map(heard, 4))
    assert cohort.map(lambda net, data, key: jnp.zeros(()) if key is None else jnp.ones(())).tolist() == [0.0] * 3


@settings(max_examples=10)
@given(st.permutations(range(4)))
def test_the_order_of_subjects_changes_nothing_but_the_order(order):
    names = [f"s{i}" for i in range(4)]
    nets = {name: network(i) for i, name in enumerate(names)}
    data = {name: np.full(2, i) for i, name in enumerate(names)}

    def loss(net, data, key):
        return (net.model.w * data).sum() + net.connectome.weights.sum() * jax.random.normal(key)

    one = gx.Cohort(nets, data)
    two = gx.Cohort({names[i]: nets[names[i]] for i in order}, data)
    assert two.subjects == tuple(names[i] for i in order)
    np.testing.assert_allclose(two.map(loss, 0), one.map(loss, 0)[jnp.array(order)], rtol=1e-6)
    total = gx.scale.cohort_loss(loss, {"network.model.w": 0.1})
    np.testing.assert_allclose(total(one, 0)[0], total(two, 0)[0], rtol=1e-6 if DOUBLE else 1e-4)
    assert eqx.tree_equal(one.subset(two.subjects), two)


# Data


def test_data_keeps_its_labels():
    fc = np.eye(5)
    data = {name: pd.DataFrame(fc * (i + 1), LABELS, LABELS) for i, name in enumerate(NAMES)}
    cohort = gx.Cohort(subjects(), data)
    assert isinstance(cohort.data, gx.LabelledArray) and cohort.data.names == (LABELS, LABELS)
    assert cohort.data_of("sub-02").labels == LABELS and float(cohort.data_of("sub-02").values[0, 0]) == 2.0
    assert cohort.map(lambda net, data, key: data.values.trace()).tolist() == [5.0, 10.0, 15.0]
    seen = []
    cohort.map(lambda net, data, key: seen.append(data.labels) or jnp.zeros(()))
    assert seen == [LABELS]


def test_data_is_a_copy_and_may_be_recordings_and_trees():
    buffer = np.zeros(3)
    values = jnp.ones((4, 1, 5))
    run = gx.Recording(values, jnp.array(1), 1.0, 1.0, 0.0, ("time", "source", "region"), ("S",), LABELS)
    cohort = gx.Cohort(subjects(), {name: {"run": run, "age": 30 + i, "x": (buffer,)} for i, name in enumerate(NAMES)})
    buffer[:] = 1.0
    assert cohort.data["x"][0].sum() == 0 and cohort.data["age"].tolist() == [30, 31, 32]
    assert cohort.data_of("sub-01")["run"].labels == LABELS
    assert "run: Recording" in repr(cohort)


def test_data_that_is_missing_or_beyond_the_precision_is_refused():
    nets = subjects()

    def with_odd(x):
        data = {name: {"x": np.ones_like(x), "n": 1} for name in NAMES}
        return gx.Cohort(nets, data | {"sub-03": {"x": x, "n": 1}})

    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(
            ValueError, match=rf"data\['sub-03'\] in x is {value} at \[1\]: data is finite. Fill it.*mask"
        ):
            with_odd(np.array([1.0, value]))
    table = pd.DataFrame(np.eye(5), LABELS, LABELS)
    with pytest.raises(ValueError, match=r"data\['sub-02'\] is nan at \[1, 0\]"):
        gx.Cohort(nets, dict.fromkeys(NAMES, table) | {"sub-02": table.mask(np.arange(25).reshape(5, 5) == 5)})
    beyond = [
        np.array([1, 2**40 + 7]),
        np.array([1, 2**63], np.uint64),
        np.array([1.0, 1e300]),
        np.array([0.0, 1e-300]),
    ]
    for x in beyond:
        if DOUBLE:
            np.testing.assert_array_equal(with_odd(x).data_of("sub-03")["x"], x)
        else:
            with pytest.raises(
                ValueError, match=r"data\['sub-03'\] in x is .* at \[1\], which .*32 cannot hold:.*jax_enable_x64"
            ):
                with_odd(x)
    assert with_odd(np.array([1.0, 1e-300])).data["x"][2, 0] == 1.0
    big, wide = (np.uint32, np.int32) if not DOUBLE else (np.uint64, np.int64)
    with pytest.raises(
        ValueError, match=r"data\['sub-03'\] is of uint\d\d and data\['sub-01'\] of int\d\d, and .* cannot hold both"
    ):
        gx.Cohort(nets, {name: np.ones(1, wide) for name in NAMES[:2]} | {"sub-03": np.array([np.iinfo(big).max], big)})


def test_data_is_never_free():
    cohort = gx.Cohort(subjects(), {name: np.ones(2) for name in NAMES})

    def loss(c, key):
        return (c.network.model.w * c.data[:, 0]).sum()

    for where in (["data"], ["network.model.w", "data"]):
        with pytest.raises(ValueError, match="data is data, which is never free"):
            gx.fit(cohort, loss, gx.select(cohort, *where), optax.sgd(0.1), steps=2, progress=False)
    with pytest.raises(ValueError, match="data is data, which each subject has"):
        gx.per_subject(cohort, "data")
    with pytest.raises(ValueError, match="data is no parameter"):
        cohort.table("data")


# What is refused


def other(**changes):
    return {"sub-01": network(0), "sub-02": changes.pop("net", None) or network(1, **changes)}


def small():
    return gx.Network(
        gx.models.WongWang(),
        gx.couplings.Linear(source="S", strength=0.2),
        regions(0).subset(LABELS[:4]),
        None,
        gx.noise.White(),
    )


def renamed(labels):
    where = regions(1)
    where = gx.Connectome(where.weights, where.lengths, labels)
    return gx.Network(
        gx.models.WongWang(), gx.couplings.Linear(source="S", strength=0.2), where, None, gx.noise.White()
    )


REFUSED = {
    "fewer regions": (other(net=small()), "sub-02 has 4 regions and sub-01 5"),
    "another order": (other(net=renamed(LABELS[::-1])), "sub-02 has the regions of sub-01 in another order"),
    "other regions": (
        other(net=renamed((*LABELS[:4], "X"))),
        r"sub-02 differs from sub-01 in connectome.labels\[4\]: it has 'X'",
    ),
    "delays": (other(delay=ROUNDED), "sub-02 differs from sub-01 in delay: it has a Delay in place of None"),
    "a model": (other(kind="pairs"), "sub-02 differs from sub-01 in model: it has a Kuramoto in place of a WongWang"),
    "no noise": (other(noise=False), "sub-02 differs from sub-01 in noise: it has None in place of a White"),
    "shapes": (
        other(net=gx.per_region(network(1), "model.w")),
        r"sub-02 differs from sub-01 in model.w: it has shape \(5,\) in place of shape \(\); gx.per_region of both",
    ),
    "what is read": (
        {
            name: gx.Network(gx.models.Hopf(), gx.couplings.Linear(source=source, target="c_x"), regions(0))
            for name, source in (("sub-01", "x"), ("sub-02", "y"))
        },
        r"sub-02 differs from sub-01 in coupling.source: it has \('y',\) in place of \('x',\)",
    ),
    "couplings": (
        {
            name: gx.Network(
                gx.models.WongWang(), dict.fromkeys(couplings, gx.couplings.Linear(source="S")), regions(0)
            )
            for name, couplings in (("sub-01", "a"), ("sub-02", "b"))
        },
        "sub-02 differs from sub-01 in coupling: it has b in place of a",
    ),
    "interpolation": (
        {"sub-01": network(0, delay=ROUNDED), "sub-02": network(1, delay=BETWEEN)},
        "sub-02 differs from sub-01 in delay.interpolation: it has 'linear' in place of 'nearest'",
    ),
    "no lengths": (
        {"sub-01": network(0), "sub-02": eqx.tree_at(lambda n: n.connectome.lengths, network(1), None)},
        "sub-02 differs from sub-01 in connectome.lengths: it has None",
    ),
    "nobody": ({}, "a cohort has one subject at least"),
}


@pytest.mark.once
@pytest.mark.parametrize("case", REFUSED)
def test_subjects_that_are_built_otherwise_are_refused(case):
    nets, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence):
        gx.Cohort(nets)


def seven_regions():
    where = gx.Connectome(np.ones((7, 7)) - np.eye(7), np.full((7, 7), 9.0), [f"r{i}" for i in range(7)])
    return gx.Network(
        gx.models.WongWang(), gx.couplings.Linear(source="S", strength=0.2), where, ROUNDED, gx.noise.White()
    )


ODD = {
    "regions": (seven_regions, "sub-03 has 7 regions and sub-01 5"),
    "other regions": (lambda: renamed((*LABELS[:4], "X")), r"sub-03 differs from sub-01 in connectome.labels\[4\]"),
    "another order": (lambda: renamed(LABELS[::-1]), "sub-03 has the regions of sub-01 in another order"),
    "a model": (lambda: network(1, kind="pairs", delay=ROUNDED), "sub-03 differs from sub-01 in model: it has a Kur"),
    "no noise": (lambda: network(1, noise=False, delay=ROUNDED), "sub-03 differs from sub-01 in noise"),
}


@pytest.mark.once
@pytest.mark.parametrize("case", ODD)
def test_the_odd_subject_is_named_wherever_it_stands(case):
    odd, sentence = ODD[case]
    like = [("sub-01", network(0, delay=ROUNDED)), ("sub-02", network(1, delay=ROUNDED))]
    for order in ([*like, ("sub-03", odd())], [("sub-03", odd()), *like]):
        with pytest.raises(ValueError, match=sentence):
            gx.Cohort(dict(order))
    with pytest.raises(ValueError, match=sentence if case in ("regions", "another order") else "sub-03 differs from"):
        gx.Cohort({name: {"net": net, "other": network(0)} for name, net in [*like, ("sub-03", odd())]})


@pytest.mark.once
def test_other_connections_of_a_sparse_matrix_are_refused():
    def net(seed):
        rng = np.random.default_rng(seed)
        near = gx.Sparse(coo_array(np.roll(np.eye(5), 1 + seed, 0) * rng.uniform(0.5, 1.0, (5, 5))))
        couplings = {"near": gx.couplings.Linear(source="S", weights=near), "far": gx.couplings.Linear(source="S")}
        return gx.Network(gx.models.WongWang(), couplings, regions(0))

    with pytest.raises(ValueError, match=r"b differs from a in coupling.near.weights.*, which is no parameter"):
        gx.Cohort({"a": net(0), "b": net(1)})


@pytest.mark.once
def test_data_that_is_not_alike_is_refused():
    nets = subjects()
    full = {name: np.ones((4, 2)) for name in NAMES}
    with pytest.raises(ValueError, match="there is nothing of sub-03; the subjects are sub-01, sub-02, sub-03"):
        gx.Cohort(nets, {name: full[name] for name in NAMES[:2]})
    with pytest.raises(ValueError, match="there is no subject sub-04"):
        gx.Cohort(nets, full | {"sub-04": np.ones((4, 2))})
    with pytest.raises(
        ValueError, match=r"the data of sub-03 differs from that of sub-01 in kind: it has shape \(3, 2\)"
    ):
        gx.Cohort(nets, full | {"sub-03": np.ones((3, 2))})
    labelled = {name: gx.LabelledArray(np.ones(5), [LABELS]) for name in NAMES}
    with pytest.raises(ValueError, match=r"the data of sub-02 differs from that of sub-01 in names"):
        gx.Cohort(nets, labelled | {"sub-02": gx.LabelledArray(np.ones(5), [LABELS[::-1]])})
    for odd in ("fc.npy", None, [1.0, 2.0], object(), np.array(["a"]), (), {"fc": "fc.npy"}):
        with pytest.raises(TypeError, match=r"data\['sub-03'\]"):
            gx.Cohort(nets, full | {"sub-03": odd})
    with pytest.raises(ValueError, match="masked"):
        gx.Cohort(nets, full | {"sub-03": np.ma.masked_less(np.arange(8.0).reshape(4, 2), 2)})


@pytest.mark.skipif(DOUBLE, reason="annotations are checked first")
def test_names_and_kinds_are_checked():
    net = network(0)
    for wrong in (None, net, [net, net], "sub-01"):
        with pytest.raises(TypeError, match="subjects= takes a dict of networks"):
            gx.Cohort(wrong)
    for wrong in (None, gx.models.WongWang(), "net", (), {"a": 1.0}):
        with pytest.raises(TypeError, match=r"subjects\['b'\]= takes a network"):
            gx.Cohort({"a": net, "b": wrong})
    with pytest.raises(TypeError, match="got the name 3"):
        gx.Cohort({3: net})
    with pytest.raises(ValueError, match="build a cohort outside of jit"):
        eqx.filter_jit(lambda n: gx.Cohort({"a": n}).network.model.w)(net)
    cohort = gx.Cohort({"sub-01": net, "sub-02": net})
    for ask in (lambda: cohort["sub-3"], lambda: cohort[0], lambda: cohort.data_of("x"), lambda: cohort.key_of("x", 0)):
        with pytest.raises(KeyError, match="there is no subject"):
            ask()
    for wrong in ([], ["sub-01", "sub-01"]):
        with pytest.raises(ValueError, match="a list of names that differ"):
            cohort.subset(wrong)
    with pytest.raises(TypeError, match="subjects= takes a list"):
        cohort.subset("sub-01")
    with pytest.raises(ValueError, match=r"did you mean 'network.model.w'"):
        gx.per_subject(cohort, "network.model.v")


def test_delays_without_room_may_not_change_by_the_bounds_of_others():
    nets = {name: network(i, delay=gx.Delay(speed=2.0, interpolation="linear")) for i, name in enumerate(NAMES)}
    cohort = gx.Cohort(nets)
    assert cohort.rigid == ("delay",)
    for where in ("network.delay.speed", "network.connectome.lengths"):
        with pytest.raises(
            ValueError, match=rf"{where} is to change, but the delays of some subject were given no room"
        ):
            gx.split(cohort, gx.select(cohort, where))
    with pytest.raises(ValueError, match="these delays round to whole steps"):
        rounded = gx.Cohort(subjects(delay=gx.Delay(speed=2.0, bounds=(1.0, 40.0))))
        gx.split(rounded, gx.select(rounded, "network.delay.speed"))
    tight = gx.Delay(speed=2.0, interpolation="linear")
    assert gx.Cohort({"a": network(0, delay=BETWEEN), "b": network(1, delay=tight)}).rigid == ("delay",)
    free = gx.Cohort(subjects(delay=BETWEEN))
    assert free.rigid == () and gx.split(free, gx.select(free, "network.delay.speed"))


# Fits


def energy(net, data, key):
    return ((final_states(net, data, key)[-10:] - data) ** 2).mean(), {"w": net.model.w}


def with_data(delay):
    return gx.Cohort(subjects(delay=delay), {name: 0.1 * i for i, name in enumerate(NAMES)})


@pytest.mark.slow
@pytest.mark.skipif(not DOUBLE, reason="differences need digits")
def test_gradients_are_those_of_differences_and_of_single_networks():
    cohort = with_data(BETWEEN)
    loss = gx.scale.cohort_loss(energy, {"network.model.w": 0.3})
    spec = gx.select(
        cohort, "network.coupling.strength", "network.model.w", "network.delay.speed", "network.connectome.weights"
    )
    free, fixed = gx.split(cohort, spec)
    flat, back = jax.flatten_util.ravel_pytree(free)
    total = jax.jit(lambda flat: loss(gx.join(back(flat), fixed), 0)[0])
    gradient = jax.jit(jax.grad(total))(flat)
    positions = back(jnp.arange(len(flat), dtype=float))
    absent = np.asarray(positions.network.connectome.weights)[
        np.asarray(cohort.network.connectome.weights) == 0
    ].astype(int)
    direction = np.random.default_rng(0).normal(size=len(flat))
    direction[absent] = 0.0
    h = 1e-5
    slope = (total(flat + h * direction) - total(flat - h * direction)) / (2 * h)
    np.testing.assert_allclose(gradient @ direction, slope, rtol=1e-6)


@pytest.mark.slow
def test_a_fit_goes_on_from_its_checkpoint_and_to_disk_and_back(tmp_path):
    cohort = with_data(ROUNDED)
    loss = gx.scale.cohort_loss(energy, {"network.model.w": 0.3})
    spec, optimiser = gx.select(cohort, "network.coupling.strength", "network.model.w"), optax.adam(0.05)
    options = {"key": 0, "validation": gx.Validation(keys=2, every=2), "progress": False}
    whole = gx.fit(cohort, loss, spec, optimiser, steps=6, **options)
    gx.fit(cohort, loss, spec, optimiser, steps=4, checkpoint=tmp_path / "fit.ckpt", **options)
    resumed = gx.fit(cohort, loss, spec, optimiser, steps=6, checkpoint=tmp_path / "fit.ckpt", **options)
    assert (
        eqx.tree_equal(whole.last, resumed.last) and whole.history["loss"].tolist() == resumed.history["loss"].tolist()
    )
    assert {"subject", "w", "pooling"} <= whole.history.keys()
    np.testing.assert_allclose(
        whole.history["loss"], 3 * whole.history["subject"] + whole.history["pooling"], rtol=1e-5
    )
    gx.io.save(tmp_path / "cohort.npz", whole.model)
    loaded = gx.io.load(tmp_path / "cohort.npz")
    assert eqx.tree_equal(loaded, whole.model) and loaded.subjects == NAMES
    assert eqx.tree_equal(gx.io.load(tmp_path / "cohort.npz", cohort), whole.model)
    with pytest.raises(ValueError, match=r"subjects"):
        gx.io.load(tmp_path / "cohort.npz", cohort.subset(["sub-02", "sub-01", "sub-03"]))
    found = gx.evaluate(loaded, loss.each, jax.random.split(jax.random.key(9), 4))
    table = loaded.table(evaluation=found)
    assert list(table.columns) == ["network.model.w", "loss", "loss sd", "w", "w sd"]
    np.testing.assert_allclose(table["loss"], found["loss"].values.mean(0), rtol=1e-6)
    one = gx.evaluate(
        loaded["sub-03"],
        lambda n, key: energy(n, loaded.data_of("sub-03"), loaded.key_of("sub-03", key)),
        jax.random.split(jax.random.key(9), 4),
    )
    np.testing.assert_allclose(table.loc["sub-03", ["loss", "loss sd"]], [one.mean["loss"], one.sd["loss"]], rtol=1e-4)
    with pytest.raises(ValueError, match="is not of these subjects"):
        loaded.subset(NAMES[:2]).table(evaluation=found)


def test_a_damaged_value_of_one_subject_is_found_in_its_file(tmp_path):
    cohort = eqx.tree_at(lambda c: c.network.model.w, gx.Cohort(subjects()), jnp.array([0.5, jnp.nan, 0.7]))
    gx.io.save(tmp_path / "cohort.npz", cohort)
    with pytest.raises(ValueError, match=r"sub-02.model.w = nan"):
        gx.io.load(tmp_path / "cohort.npz")


def test_a_sweep_over_what_all_share():
    cohort = gx.Cohort(subjects(), dict.fromkeys(NAMES, 1.0))
    loss = gx.scale.cohort_loss(lambda net, data, key: net.coupling.strength * net.model.w * data)
    found = gx.sweep(cohort, loss, {"network.coupling.strength": [1.0, 2.0]})
    np.testing.assert_allclose(found["loss"], [1.8, 3.6], rtol=1e-6)
