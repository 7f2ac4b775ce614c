"""What lies beyond a model's limits is no fixed point of what a run does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from conftest import DOUBLE

NEAR = 1e-6 if DOUBLE else 1e-3


class Pushed(gx.AbstractModel):
    """Falls to h, of which only what is above zero is within its limits."""

    states, inputs = ("x",), ("c",)
    limits = {"x": (0.0, None)}  # noqa: RUF012
    h: gx.Array = gx.parameter(-1.0)

    def drift(self, t, y, u):
        return self.h - y + u

    def start(self, n):
        return jnp.ones((1, n))


def pushed(h=-1.0, n=1, **parts):
    return gx.Network(Pushed(h=h), gx.couplings.Linear(source="x"), np.zeros((n, n)), **parts)


def groups(h):
    of = gx.Groups({"held": (Pushed(h=h), [0, 2]), "free": (gx.models.Linear(gamma=-0.5), ...)})
    own = gx.couplings.Linear(source="free.x", target="free.c", strength=0.1)
    return gx.Network(of, own, np.ones((4, 4)) - np.eye(4))


def montbrio():
    coupling = gx.couplings.Linear(source="r", target="c_V", strength=0.0)
    return gx.Network(gx.models.MontbrioPazoRoxin(), coupling, np.zeros((1, 1)))


def test_nothing_rests_beyond_limits():
    net = pushed(noise=gx.noise.White(sigma=0.1))
    with pytest.raises(ValueError, match="x of region_0 would be -1, and a run holds it at 0"):
        gx.analysis.fixed_points(net, 3)
    with pytest.raises(
        ValueError, match=r"come to rest beyond the model's limits: x of region_0 would be -1, .* no linear theory"
    ):
        gx.analysis.linear_noise(net)
    inside = jax.jit(lambda h: gx.analysis.linear_noise(pushed(h, noise=net.noise)).covariance("x").values)
    assert np.isnan(inside(-1.0)).all()
    np.testing.assert_allclose(inside(1.0), 0.005, rtol=NEAR)
    with pytest.raises(ValueError, match="the network start leads beyond the model's limits"):
        gx.analysis.continuation(net, "model.h", (-2.0, 2.0))
    with pytest.raises(ValueError, match="state lies beyond the model's limits"):
        gx.analysis.modes(net, [[-1.0]])
    with pytest.raises(
        ValueError, match="x of region_0 is at its limit, 0, and the drift pushes it on by -1 a ms: a run is held there"
    ):
        gx.analysis.modes(net, [[0.0]])


def test_a_branch_ends_at_a_limit():
    with pytest.warns(RuntimeWarning, match="ends at model.h = 0: a state reaches a limit of the model there"):
        found = gx.analysis.continuation(pushed(1.0, 2), "model.h", (-2.0, 2.0), step=0.1)
    assert found.why == ("limit", "end") and found.at[-1] == 2
    assert 0 <= found.at[0] < 1e-9 and (found.values >= 0).all()
    np.testing.assert_allclose(found.values[:, 0], found.at[:, None] * np.ones(2), atol=NEAR)
    assert "stable from 0 to 2" in repr(found)


def test_firing_rates_are_not_negative():
    """r and V solve 0 = 1/pi + 2 r V and 0 = V^2 + eta + 15 r - (pi r)^2, a polynomial of degree four in r."""
    roots = np.roots([-(np.pi**2), 15, -5, 0, 1 / (2 * np.pi) ** 2])
    real = np.sort(roots[np.isreal(roots)].real)
    assert real[0] == pytest.approx(-0.0649, abs=1e-4)
    found = gx.analysis.fixed_points(montbrio())
    np.testing.assert_allclose(np.sort(found.values[:, 0, 0]), real[1:], rtol=1e-6 if DOUBLE else 1e-3)
    assert found.beyond == 1 and "1 more left out, beyond the model's limits" in repr(found)
    assert repr(found).startswith("3 fixed points of 1 region\n")


def test_groups_have_limits_of_their_own():
    found = gx.analysis.fixed_points(groups(2.0), 2)
    assert "mean held.x 2, free.x 0" in repr(found)  # of the regions that have them
    assert np.isnan(found.to_xarray()["value"].sel(state="held.x").values[0, [1, 3]]).all()
    with pytest.raises(ValueError, match=r"held.x of region_0 would be -1, and a run holds it at 0"):
        gx.analysis.fixed_points(groups(-1.0), 2)


@pytest.mark.slow
def test_a_branch_of_groups_is_of_the_regions_that_have_a_state():
    with pytest.warns(RuntimeWarning, match="a state reaches a limit"):
        branch = gx.analysis.continuation(groups(1.0), "model.models.held.h", (-1.0, 2.0), step=0.2)
    assert abs(branch.at[0]) < 1e-6
    np.testing.assert_allclose(branch.plot("held.x").lines[0].get_ydata(), branch.at, atol=NEAR)
    with pytest.raises(ValueError, match=r"region_1 has no held.x: it is of another group"):
        branch.plot("held.x", region="region_1")


def test_what_is_held_has_no_finite_exponent():
    found = gx.analysis.lyapunov_exponents(groups(-1.0), 100.0, 0.1, count=4)
    # of the others -0.5 + 0.1 and -0.5 - 0.1, by the steps of Heun's
    np.testing.assert_allclose(found.values, [-0.4, -0.6, -np.inf, -np.inf], rtol=2e-3)
    assert found.chaotic is False and "-inf: a difference is gone at once" in repr(found)
    alone = gx.analysis.lyapunov_exponents(pushed(), 50.0, 0.1)
    assert alone.values.tolist() == [-np.inf] and alone.errors.tolist() == [0.0]
    assert alone.gradient_horizon() == np.inf and alone.chaotic is False
