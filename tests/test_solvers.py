"""Orders of convergence, and what multiplicative noise means to each solver."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx

SINGLE = jnp.result_type(float) == jnp.float32
SOLVERS = {"euler": gx.solvers.EulerMaruyama(), "heun": gx.solvers.Heun(), "rk4": gx.solvers.RungeKutta4()}
ORDERS = {"euler": 1, "heun": 2, "rk4": 4}


def field(t, y, args):
    return jnp.stack([y[0] * jnp.cos(t), -(y[1] ** 2)])


def error(solver, steps: int) -> float:
    """At t = 2, of y' = y cos t and y' = -y^2: the time of every stage counts, and so does what is not linear."""
    solution = dfx.diffeqsolve(dfx.ODETerm(field), solver, 0.0, 2.0, 2.0 / steps, jnp.ones(2))
    return float(np.abs(solution.ys[-1] - np.array([np.exp(np.sin(2.0)), 1 / 3])).max())


@pytest.mark.slow
@pytest.mark.skipif(SINGLE, reason="the order of convergence needs digits")
@pytest.mark.parametrize("name", SOLVERS)
def test_orders_of_convergence_without_noise(name):
    errors = np.array([error(SOLVERS[name], steps) for steps in (40, 80, 160)])
    orders = np.log2(errors[:-1] / errors[1:])
    np.testing.assert_allclose(orders, ORDERS[name], atol=0.15)
    assert SOLVERS[name].order(dfx.ODETerm(field)) == ORDERS[name]


@pytest.mark.parametrize("name", SOLVERS)
def test_one_step_is_the_textbooks(name, rounding):
    f = lambda t, y: np.asarray(field(t, jnp.asarray(y), None), float)  # noqa: E731
    y, t, h = np.array([0.5, 0.8]), 0.3, 0.2
    if name == "euler":
        expected = y + h * f(t, y)
    elif name == "heun":
        expected = y + h / 2 * (f(t, y) + f(t + h, y + h * f(t, y)))
    else:
        k1 = f(t, y)
        k2 = f(t + h / 2, y + h / 2 * k1)
        k3 = f(t + h / 2, y + h / 2 * k2)
        expected = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + f(t + h, y + h * k3))
    value = SOLVERS[name].advance(dfx.ODETerm(field), t, t + h, jnp.asarray(y), None)
    np.testing.assert_allclose(value, expected, rtol=rounding)


# Noise


class Proportional(gx.AbstractNoise):
    """Geometric Brownian motion."""

    sigma: gx.Array = gx.parameter(0.5, domain=gx.Positive())

    def diffusion(self, t, y):
        return self.sigma * y


class One(gx.models.Linear):
    def start(self, n):
        return jnp.ones((1, n))


RATE, SIGMA, TIME = -0.1, 0.5, 1.0


def network(noise) -> gx.Network:
    return gx.Network(One(gamma=RATE), {}, gx.Connectome(np.zeros((2, 2))), noise=noise)


def ends(net: gx.Network, solver, steps: int, fine: jax.Array) -> np.ndarray:
    """States at the end, along Wiener paths given by finer increments `(path, step, 1, 2)`."""
    paths, m = fine.shape[:2]
    coarse = fine.reshape(paths, steps, m // steps, 1, 2).sum(2)
    dt = TIME / steps

    def path(increments):
        def step(y, dw):
            return solver.advance(net.terms(lambda t0, t1: dw), 0.0, dt, y, None), None

        return jax.lax.scan(step, net.start(), increments)[0]

    return np.asarray(jax.jit(jax.vmap(path))(coarse))


def wiener(paths: int, steps: int) -> jax.Array:
    return jax.random.normal(jax.random.key(5), (paths, steps, 1, 2)) * np.sqrt(TIME / steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "drift", "order"),
    [("euler", RATE - SIGMA**2 / 2, 0.5), ("heun", RATE, 1.0), ("rk4", RATE, 2.0)],
    ids=["ito", "stratonovich", "stratonovich-rk4"],
)
def test_multiplicative_noise_converges_to_its_interpretation_path_by_path(name, drift, order):
    """Ito's solution is exp((a - s^2/2) t + s W), Stratonovich's exp(a t + s W). Strong orders 1/2 and,
    with noise that commutes as here, half of the order without noise."""
    fine = wiener(2000, 128)
    exact = np.exp(drift * TIME + SIGMA * np.asarray(fine.sum(1)))
    net = network(Proportional(sigma=SIGMA))
    errors = np.array([np.sqrt(((ends(net, SOLVERS[name], n, fine) - exact) ** 2).mean()) for n in (8, 32, 128)])
    np.testing.assert_allclose(np.log(errors[:-1] / errors[1:]) / np.log(4), order, atol=0.12)
    assert errors[-1] < (0.03 if name == "euler" else 2e-3)


@pytest.mark.parametrize(
    ("name", "growth"), [("euler", RATE), ("heun", RATE + SIGMA**2 / 2), ("rk4", RATE + SIGMA**2 / 2)]
)
def test_multiplicative_noise_has_the_mean_of_its_interpretation_in_a_run(name, growth):
    """Through `simulate`. The means differ by 13%; the standard error is 0.5%."""
    net, keys = network(Proportional(sigma=SIGMA)), jax.random.split(jax.random.key(1), 6000)
    run = lambda k: gx.simulate(net, TIME, TIME / 32, key=k, solver=SOLVERS[name], monitors={}).final.y  # noqa: E731
    y = np.asarray(jax.jit(jax.vmap(run))(keys), float).ravel()
    standard_error = y.std() / np.sqrt(y.size)
    assert standard_error < 0.01 * y.mean()
    assert abs(y.mean() - np.exp(growth * TIME)) < 4 * standard_error


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVERS)
def test_additive_noise_converges_at_order_one(name):
    """Against the finest path, an Ornstein-Uhlenbeck process driven by the same increments."""
    fine = wiener(500, 512)
    net = network(gx.noise.White(sigma=SIGMA))
    exact = ends(net, SOLVERS["heun"], 512, fine)
    errors = np.array([np.sqrt(((ends(net, SOLVERS[name], n, fine) - exact) ** 2).mean()) for n in (4, 16, 64)])
    np.testing.assert_allclose(np.log(errors[:-1] / errors[1:]) / np.log(4), 1.0, atol=0.1)


def test_solvers_say_what_they_are():
    assert isinstance(SOLVERS["euler"], dfx.AbstractItoSolver)
    for name in ("heun", "rk4"):
        assert isinstance(SOLVERS[name], dfx.AbstractStratonovichSolver)
    assert {s.strong_order(None) for s in SOLVERS.values()} == {0.5}


@pytest.mark.parametrize("solver", [gx.solvers.Heun, gx.solvers.RungeKutta4])
def test_what_holds_the_coupling_is_of_first_order_and_for_runs_only(solver, small_connectome):
    once = solver(coupling_once=True)
    assert once.order(None) == 1
    net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), small_connectome)
    with pytest.raises(ValueError, match=r"coupling_once=True is for fixed steps of gx\.simulate"):
        dfx.diffeqsolve(net.terms(), once, 0.0, 1.0, 0.1, net.start())
    if SINGLE:  # where types are not looked at before
        with pytest.raises(TypeError, match="coupling_once= takes True or False, got 1"):
            solver(coupling_once=1)


@pytest.mark.slow
@pytest.mark.skipif(SINGLE, reason="the order of convergence needs digits")
def test_a_coupling_once_a_step_converges_at_first_order(small_connectome):
    net = gx.Network(One(gamma=RATE), gx.couplings.Linear(source="x", strength=0.1), small_connectome)
    ends = [
        np.asarray(gx.simulate(net, 8.0, dt, solver=gx.solvers.Heun(coupling_once=once), monitors={}).final.y)
        for once, dt in ((True, 0.5), (True, 0.25), (True, 0.125), (False, 0.0078125))
    ]
    errors = np.array([np.abs(end - ends[-1]).max() for end in ends[:-1]])
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 1.0, atol=0.1)
