"""Couplings of pairs: against loops over connections, couplings that factor, finite differences and closed forms."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gyrax as gx
from conftest import DOUBLE

N, DT, STEPS = 6, 0.5, 120
CLOSE = dict(rtol=1e-10, atol=1e-12) if DOUBLE else dict(rtol=2e-4, atol=2e-5)


class Shunting(gx.AbstractPairCoupling):
    """Of both ends at once, with a bias of each connection."""

    strength: gx.Array = gx.parameter(0.1, domain=gx.Positive())
    bias: gx.Array = gx.parameter(0.0, domain=gx.Real(scale=1.0))

    def message(self, x_source, x_target, bias):
        return jnp.tanh(3 * (x_source - x_target) - x_source * x_target / 10 - bias)

    def decode(self, total, x, degree):
        return self.strength * total


class Apart(gx.AbstractPairCoupling):
    """What Difference computes from sums."""

    strength: gx.Array = gx.parameter(0.1, domain=gx.Positive())

    def message(self, x_source, x_target):
        return x_source - x_target

    def decode(self, total, x, degree):
        return self.strength * total


def drawn(seed=0, n=N, density=0.6):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1, (n, n)) * (1 - np.eye(n)) * (rng.uniform(size=(n, n)) < density)
    lengths = rng.uniform(4, 40, (n, n))
    return gx.Connectome(weights, (lengths + lengths.T) * (1 - np.eye(n)), labels=[f"r{i}" for i in range(n)])


BIAS = np.random.default_rng(5).normal(size=(N, N))
DELAYS = {
    "none": None,
    "nearest": gx.Delay(speed=3.0),
    "linear": gx.Delay(speed=3.0, interpolation="linear", bounds=(0.5, 60.0)),
    "cubic": gx.Delay(speed=3.0, interpolation="cubic", bounds=(0.5, 60.0)),
    "short": gx.Delay(speed=90.0, interpolation="linear", bounds=(0.0, 5.0)),
}


def network(coupling, delay=None, connectome=None, **more):
    more = {"noise": gx.noise.White(sigma=0.02)} | more
    return gx.Network(gx.models.Kuramoto(omega=0.05), coupling, connectome or drawn(), delay, **more)


MONITORS = {"x": gx.monitors.Subsample(source="theta", period=1.0)}


def path(net, key=0, **more):
    keys = jax.random.key(key) if isinstance(key, int) else key
    return gx.simulate(net, STEPS * DT, DT, monitors=MONITORS, key=keys, **more)["x"].values[:, 0]


run = eqx.filter_jit(path)


@eqx.filter_jit
def slope(net):
    return eqx.filter_grad(lambda n: jnp.sum(jnp.sin(path(n)) ** 2))(net)


@pytest.mark.parametrize("delay", ["none", "nearest", "linear", pytest.param("short", marks=pytest.mark.slow)])
def test_runs_are_loops_over_connections(delay):
    coupling, how = Shunting(source="theta", bias=BIAS), DELAYS[delay]
    net = network(coupling, how, noise=None)
    start = np.linspace(-1, 1, N)
    found = np.asarray(gx.simulate(net, STEPS * DT, DT, monitors=MONITORS, start=start[None])["x"].values[:, 0])
    weights = np.asarray(net.connectome.weights, float)
    lags = np.zeros((N, N)) if how is None else np.asarray(net.connectome.lengths, float) / float(how.speed) / DT
    if delay == "nearest":
        lags = np.round(lags)
    states = [start]  # what there was before is the start

    def value(j, at):  # between samples, linear; at 0 and before, the start
        low = int(np.floor(at))
        one, other = (states[min(max(k, 0), len(states) - 1)][j] for k in (low, low + 1))
        return one + (at - low) * (other - one)

    def flow(x, step):
        total = np.zeros(N)
        for i in range(N):
            for j in range(N):
                if weights[i, j]:
                    lag = lags[i, j]
                    share = max(0.0, 1 - lag)  # of the value at the stage itself
                    sent = x[j] if how is None or lag == 0 else value(j, step - lag)
                    if 0 < lag < 1:
                        sent = share * x[j] + lag * states[max(step - 1, 0)][j]
                    total[i] += weights[i, j] * np.tanh(3 * (sent - x[i]) - sent * x[i] / 10 - BIAS[i, j])
        return 0.05 + 0.1 * total

    for k in range(STEPS):  # Heun
        first = flow(states[-1], k)
        guess = states[-1] + DT * first
        states.append(states[-1])  # what is heard at the end was sent before
        second = flow(guess, k + 1)
        states[-1] = states[k] + DT * (first + second) / 2
    np.testing.assert_allclose(found, np.array(states[2::2]), **CLOSE)


@pytest.mark.parametrize("delay", ["none", "nearest", pytest.param("cubic", marks=pytest.mark.slow)])
@pytest.mark.slow("float64")
def test_one_that_factors_is_the_one_that_factors(delay):
    pair, sums = (network(c(source="theta", strength=0.1), DELAYS[delay]) for c in (Apart, gx.couplings.Difference))
    np.testing.assert_allclose(run(pair), run(sums), **CLOSE)
    found, expected = slope(pair), slope(sums)
    loose = dict(rtol=1e-7, atol=1e-8) if DOUBLE else dict(rtol=5e-3, atol=5e-3)
    np.testing.assert_allclose(found.coupling.strength, expected.coupling.strength, **loose)
    there = np.asarray(pair.connectome.weights) != 0
    np.testing.assert_allclose(found.connectome.weights[there], expected.connectome.weights[there], **loose)
    np.testing.assert_allclose(found.model.omega, expected.model.omega, **loose)


@pytest.mark.skipif(not DOUBLE, reason="differences need double precision")
@pytest.mark.parametrize("delay", ["none", "linear", pytest.param("short", marks=pytest.mark.slow)])
def test_gradients_are_differences(delay):
    net = network(Shunting(source="theta", bias=BIAS), DELAYS[delay])
    found, rng = slope(net), np.random.default_rng(0)
    leaves = [lambda n: n.coupling.bias, lambda n: n.coupling.strength, lambda n: n.connectome.weights]
    leaves += [lambda n: n.delay.speed] if delay != "none" else []
    for leaf in leaves:
        at = np.asarray(leaf(net), float)
        way, h = rng.normal(size=at.shape) * (at != 0), 1e-6
        both = [run(eqx.tree_at(leaf, net, jnp.asarray(at + s * h * way))) for s in (1, -1)]
        one, other = (float(jnp.sum(jnp.sin(x) ** 2)) for x in both)
        assert float((np.asarray(leaf(found)) * way).sum()) == pytest.approx(
            (one - other) / (2 * h), rel=1e-4, abs=1e-6
        )
    none = np.asarray(net.connectome.weights) == 0
    assert (np.asarray(found.coupling.bias)[none] == 0).all()


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("delay", ["none", "linear"])
def test_forward_mode_says_the_same(delay):
    net = network(Shunting(source="theta", bias=BIAS), DELAYS[delay])

    def of(strength, autodiff):
        there = eqx.tree_at(lambda n: n.coupling.strength, net, strength)
        return jnp.sum(jnp.sin(path(there, autodiff=autodiff)) ** 2)

    strength = net.coupling.strength
    forward = jax.jacfwd(lambda s: of(s, "forward"))(strength)
    np.testing.assert_allclose(forward, jax.grad(lambda s: of(s, "reverse"))(strength), rtol=1e-9)


@pytest.mark.slow("float64")
@pytest.mark.parametrize("delay", ["none", "nearest"])
def test_side_by_side_they_are_what_each_is_alone(delay):
    net = network(Shunting(source="theta", bias=BIAS), DELAYS[delay])
    keys = jax.random.split(jax.random.key(3), 3)
    many = jax.jit(jax.vmap(lambda key: path(net, key)))(keys)
    np.testing.assert_allclose(many, jnp.stack([run(net, key) for key in keys]), **CLOSE)

    def slopes(bias, key):
        there = eqx.tree_at(lambda n: n.coupling.bias, net, bias)
        return jax.grad(lambda b: jnp.sum(path(eqx.tree_at(lambda n: n.coupling.bias, there, b), key)))(bias)

    many = jax.jit(jax.vmap(slopes, in_axes=(None, 0)))(net.coupling.bias, keys)
    alone = jnp.stack([jax.jit(slopes)(net.coupling.bias, key) for key in keys])
    np.testing.assert_allclose(many, alone, rtol=1e-7 if DOUBLE else 2e-2, atol=1e-9 if DOUBLE else 1e-3)


@pytest.mark.once
def test_a_cut_run_goes_on():
    net = network(Shunting(source="theta", bias=BIAS), DELAYS["linear"])
    first = gx.simulate(net, 30.0, DT, monitors=MONITORS, key=jax.random.key(0))
    rest = gx.simulate(net, 30.0, DT, monitors=MONITORS, start=first.final)
    whole = jnp.concatenate([first["x"].values, rest["x"].values])[:, 0]
    np.testing.assert_allclose(whole, run(net), rtol=1e-12)


@pytest.mark.once
@pytest.mark.slow
def test_chosen_steps_come_to_the_same():
    net = network(Shunting(source="theta", bias=BIAS), DELAYS["cubic"], noise=None)
    exact = path(net, solver=dfx.Tsit5(), stepsize_controller=dfx.PIDController(rtol=1e-8, atol=1e-10))
    np.testing.assert_allclose(run(net), exact, atol=2e-2)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000))
@pytest.mark.once
def test_regions_have_no_order(seed):
    order = np.random.default_rng(seed).permutation(N)
    connectome = drawn(seed)
    there = gx.Connectome(connectome.weights[np.ix_(order, order)], labels=[f"r{i}" for i in order])
    x = np.random.default_rng(seed).normal(size=(1, N))
    net = network(Shunting(source="theta", bias=BIAS), connectome=connectome)
    moved = network(Shunting(source="theta", bias=BIAS[np.ix_(order, order)]), connectome=there)
    found = moved.input(0.0, jnp.asarray(x[:, order]))
    np.testing.assert_allclose(found, np.asarray(net.input(0.0, jnp.asarray(x)))[:, order], rtol=1e-12)


@pytest.mark.once
def test_who_hears_nobody_gets_nothing():
    class Log(gx.AbstractPairCoupling):
        def message(self, x_source, x_target):
            return jnp.log(x_source - x_target)

    weights = np.zeros((3, 3))
    weights[1, 0] = 2.0
    net = network(Log(source="theta"), connectome=gx.Connectome(weights))
    found = np.asarray(net.input(0.0, jnp.array([[3.0, 1.0, 5.0]])))
    np.testing.assert_allclose(found, [[0.0, 2 * np.log(2), 0.0]])


def test_the_library_is_what_it_says():
    rng = np.random.default_rng(1)
    x, own = rng.normal(size=(1, N)), rng.uniform(size=(N, N))
    weights = np.asarray(drawn().weights, float)
    apart = x[0][None, :] - x[0][:, None]  # (target, source)
    cases = [
        (gx.couplings.Sakaguchi(source="theta", strength=0.3, lag=own), 0.3 * np.sin(apart - own)),
        (
            gx.couplings.GapJunction(source="theta", strength=0.3, rectification=own),
            0.3 * np.where(apart > 0, apart, (1 - own) * apart),
        ),
        (gx.couplings.Threshold(source="theta", strength=0.3, theta=own), 0.3 * np.maximum(x - own, 0)),
    ]
    for coupling, heard in cases:
        found = network(coupling).input(0.0, jnp.asarray(x))
        np.testing.assert_allclose(found[0], (weights * heard).sum(1), **CLOSE)


@pytest.mark.once
def test_parameters_of_connections_are_fitted():
    net = gx.per_connection(network(gx.couplings.Sakaguchi(source="theta", strength=0.2), noise=None), "coupling.lag")
    there = np.asarray(net.connectome.weights) != 0
    truth = eqx.tree_at(lambda n: n.coupling.lag, net, jnp.where(there, jnp.asarray(BIAS) / 4, 0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 1, N)))
    want = jax.vmap(lambda y: truth.input(0.0, y))(x)

    def loss(model, key):
        return jnp.mean((jax.vmap(lambda y: model.input(0.0, y))(x) - want) ** 2)

    spec = gx.select(net, gx.Free("coupling.lag", mask=there))
    found = gx.search.minimise(net, loss, spec, progress=False).model
    np.testing.assert_allclose(found.coupling.lag, truth.coupling.lag, atol=1e-4)


@pytest.mark.once
def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError, match=r"message takes the two ends"):

        class Blind(gx.AbstractPairCoupling):
            def message(self, x_source):
                return x_source

    with pytest.raises(TypeError, match="declares no such parameter"):

        class Forgot(gx.AbstractPairCoupling):
            def message(self, x_source, x_target, lag):
                return x_source - lag

    class Summed(gx.AbstractPairCoupling):
        def message(self, x_source, x_target):
            return (x_source - x_target).sum(0)

    with pytest.raises(ValueError, match="the message of coupling is of each pair by itself"):
        network(Summed(source="theta"))

    class Misused(gx.AbstractPairCoupling):
        lag: gx.Array = gx.parameter(0.0)

        def message(self, x_source, x_target, lag):
            return x_source - self.lag

    with pytest.raises(TypeError):
        network(Misused(source="theta", lag=BIAS))
    with pytest.raises(ValueError, match=r"one a connection, \(target, source\) = \(6, 6\)"):
        network(Shunting(source="theta", bias=np.zeros((2, 3))))
    with pytest.raises(ValueError, match=r"coupling\.strength has shape"):
        network(Shunting(source="theta", strength=np.ones((N, N))))
    with pytest.raises(ValueError, match="takes an array of weights"):
        network(Shunting(source="theta", weights=gx.Sparse(np.eye(N))))
    with pytest.raises(ValueError, match="is no parameter of connections"):
        gx.per_connection(network(Shunting(source="theta")), "coupling.strength")
    net = network(Shunting(source="theta"), connectome=drawn(density=0.2))
    new = eqx.tree_at(lambda n: n.connectome.weights, net, jnp.ones((N, N)))
    with pytest.raises(ValueError, match="built without a connection of coupling from r"):
        path(new)


@pytest.mark.once
def test_linear_theory_takes_pairs_that_act_at_once():
    pair, sums = (
        gx.Network(gx.models.Linear(gamma=-1.0), c, drawn(), noise=gx.noise.White(sigma=0.1))
        for c in (Apart(source="x", strength=0.1), gx.couplings.Difference(source="x", strength=0.1))
    )
    found, expected = (np.asarray(gx.analysis.linear_noise(net).covariance("x")) for net in (pair, sums))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    late = gx.Network(gx.models.Linear(), Apart(source="x"), drawn(), gx.Delay(speed=3.0), gx.noise.White(sigma=0.1))
    with pytest.raises(ValueError, match="coupling of pairs with delays"):
        gx.analysis.linear_noise(late)


@pytest.mark.once
def test_saved_and_loaded(tmp_path):
    net = network(gx.couplings.Sakaguchi(source="theta", lag=BIAS), DELAYS["nearest"])
    gx.io.save(tmp_path / "net.npz", net)
    loaded = gx.io.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(run(loaded), run(net))
    assert "lag=[" in repr(loaded)


@pytest.mark.once
def test_names_are_the_users_own():
    """A parameter of another coupling may be called as it pleases, and one of a message may be left out."""

    class Owned(gx.AbstractCoupling):
        own: gx.Array = gx.parameter(1.0, domain=gx.Positive())

        def encode(self, x):
            return self.own * x

        def decode(self, total, x, degree):
            return total

    class Perhaps(gx.AbstractPairCoupling):
        own: gx.Array = gx.parameter(2.0, domain=gx.Positive())
        lag: gx.Array | None = gx.parameter(None)

        def message(self, x_source, x_target, lag):
            return self.own * (x_source if lag is None else x_source - lag)

    x = jnp.linspace(0.0, 1.0, N)[None]
    weights = np.asarray(drawn().weights, float)
    np.testing.assert_allclose(network(Owned(source="theta")).input(0.0, x)[0], weights @ x[0], **CLOSE)
    np.testing.assert_allclose(run(network(Perhaps(source="theta")))[0].shape, (N,))
    np.testing.assert_allclose(network(Perhaps(source="theta")).input(0.0, x)[0], 2 * weights @ x[0], **CLOSE)
    found = network(Perhaps(source="theta", lag=0.5)).input(0.0, x)[0]
    np.testing.assert_allclose(found, 2 * weights @ (np.asarray(x[0]) - 0.5), **CLOSE)


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("how", ["a monitor of inputs", "a horizon", "the history"])
def test_the_way_back_is_that_of_the_one_that_factors(how):
    def value(net):
        if how == "a monitor of inputs":
            listens = {"c": gx.monitors.AfferentCoupling(period=1.0), **MONITORS}
            seen = gx.simulate(net, STEPS * DT, DT, monitors=listens, key=jax.random.key(0))
            return jnp.sum(seen["c"].values ** 2) + jnp.sum(jnp.sin(seen["x"].values))
        if how == "a horizon":
            return jnp.sum(jnp.sin(path(net, gradient_horizon=10.0)) ** 2)
        first = gx.simulate(net, 20.0, DT, monitors=MONITORS, key=jax.random.key(0))
        return jnp.sum(gx.simulate(net, 20.0, DT, monitors=MONITORS, start=first.final)["x"].values ** 2)

    both = [
        eqx.filter_jit(eqx.filter_value_and_grad(value))(network(c(source="theta", strength=0.1), DELAYS["linear"]))
        for c in (Apart, gx.couplings.Difference)
    ]
    (one, found), (other, expected) = both
    assert float(one) == pytest.approx(float(other), rel=1e-10)
    there = np.asarray(drawn().weights) != 0
    for leaf in (lambda n: n.coupling.strength, lambda n: n.delay.speed, lambda n: n.model.omega):
        np.testing.assert_allclose(leaf(found), leaf(expected), rtol=1e-8, atol=1e-9)
    if how != "a horizon":  # where sums take what is heard at a multiple of it as given, weights and all
        weights = found.connectome.weights[there], expected.connectome.weights[there]
        np.testing.assert_allclose(*weights, rtol=1e-7, atol=1e-8)


@pytest.mark.once
@pytest.mark.slow
def test_a_horizon_is_a_chain_of_runs_that_take_their_start_as_given():
    def chained(net):
        start, seen = None, []
        for _ in range(3):
            run = gx.simulate(net, 10.0, DT, monitors=MONITORS, start=start, key=None if start else jax.random.key(0))
            start = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, run.final)
            seen.append(run["x"].values)
        return jnp.sum(jnp.sin(jnp.concatenate(seen)) ** 2)

    def cut(net):
        options = dict(monitors=MONITORS, key=jax.random.key(0), gradient_horizon=10.0)
        return jnp.sum(jnp.sin(gx.simulate(net, 30.0, DT, **options)["x"].values) ** 2)

    net = network(Shunting(source="theta", bias=BIAS), DELAYS["linear"])
    found, expected = (eqx.filter_jit(eqx.filter_grad(f))(net) for f in (cut, chained))
    for leaf in (lambda n: n.coupling.bias, lambda n: n.connectome.weights, lambda n: n.model.omega):
        np.testing.assert_allclose(leaf(found), leaf(expected), rtol=1e-8, atol=1e-10)
