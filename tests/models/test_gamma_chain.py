"""Distributed delays: what comes out of a chain is what goes in, weighted with a gamma density."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import gamma

import gyrax as gx
from naive import loop


class Step(gx.AbstractModel):
    """Nothing before the start, one from then on."""

    states = ("x",)
    outputs = ("on",)

    def drift(self, t, y, u):
        return jnp.zeros_like(y)

    def on(self, y):
        return jnp.ones_like(y[0])


@pytest.mark.parametrize("stages", [1, 2, 5])
def test_a_step_comes_out_as_the_gamma_distribution(stages):
    model = gx.models.GammaChain(Step(), "on", stages=stages, mean=4.0)
    net = gx.Network(model, {}, gx.Connectome(np.ones((2, 2))))
    run = gx.simulate(net, 20.0, 0.05, monitors=gx.monitors.Raw(source="late"), start=np.zeros((1 + stages, 2)))
    expected = gamma.cdf(run["monitor"].times, stages, scale=4.0 / stages)
    np.testing.assert_allclose(run["monitor"].values[:, 0, 0], expected, atol=3e-4)


@pytest.mark.slow("float32")
def test_a_network_hears_it_like_any_state(small_connectome, key, rounding):
    model = gx.models.GammaChain(gx.models.WongWang(), "S", stages=2, mean=6.0)
    coupling = gx.couplings.Linear(source="late", strength=0.3)
    noise = gx.noise.White(sigma=0.02, states="S")
    net = gx.Network(model, coupling, small_connectome, gx.Delay(3.0), noise)
    run = gx.simulate(net, 20.0, 0.5, key=key)
    np.testing.assert_allclose(run["raw"].values, loop(net, 40, 0.5, key), atol=rounding * 10)
    assert run["raw"].to_xarray().state.values.tolist() == ["S", "late_1", "late"]


@pytest.mark.once
def test_wrong_chains_are_named():
    with pytest.raises(ValueError, match="no 'V'"):
        gx.models.GammaChain(gx.models.WongWang(), "V")
    with pytest.raises(ValueError, match="stages is a whole number from 1 on, got 0"):
        gx.models.GammaChain(gx.models.WongWang(), "S", stages=0)
