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

import gyrax as gx
from conftest import DOUBLE
from gyrax.anatomy.edges import Edges

LABELS = ("V1", "M1", "A1", "S1", "PFC")
NAMES = ("sub-01", "sub-02", "sub-03")
CLOSE = {"rtol": 1e-9, "atol": 1e-12} if DOUBLE else {"rtol": 2e-4, "atol": 2e-6}


class Lagged(gx.AbstractPairCoupling):
    """The sine of the phase difference, less a lag of each connection."""

    lag: gx.Array = gx.parameter(0.1, domain=gx.Real())

    def message(self, source, own, lag):
        return jnp.sin(source - own - lag)


def regions(seed, density=0.6, longest=30.0):
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
        coupling = Lagged(source="theta", strength=0.05, lag=0.1 * seed * np.asarray(where.weights))
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


DELAYS = {
    "none": None,
    "nearest": gx.Delay(speed=2.0),
    "linear": gx.Delay(speed=2.0, interpolation="linear"),
    "cubic": gx.Delay(speed=2.0, interpolation="cubic", bounds=(0.0, 40.0)),
}


@pytest.mark.parametrize("kind", ["linear", "pairs"])
@pytest.mark.parametrize("delay", DELAYS)
def test_each_run_is_that_of_the_subjects_own_network(kind, delay):
    cohort, together, alone = both(subjects(kind=kind, delay=DELAYS[delay]))
    assert not np.allclose(alone[0], alone[1], rtol=1e-3)
    np.testing.assert_allclose(together, alone, **CLOSE)
    one = final_states(cohort["sub-02"], None, cohort.key_of("sub-02", 0))
    np.testing.assert_allclose(one, alone[1], **CLOSE)
