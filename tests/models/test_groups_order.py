"""Groups name their regions in any order: each region has what it has, whoever is named first."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from naive import wiring

SINGLE = jnp.result_type(float) == jnp.float32
LABELS = tuple(f"O{i}" for i in range(6))
TH, CX = [1, 3, 4], [0, 2, 5]
#: From the thalamus to the cortex, in the order of the connectome.
UP = np.array([[0.5, 0.1, 0.3], [0.2, 0.4, 0.9], [0.3, 0.7, 0.6]])
#: Ways to say which regions; of the third the ends lie as far apart as those of neighbours would.
ORDERS = {
    "indices": [4, 1, 3],
    "labels": ["O3", "O4", "O1"],
    "ends of neighbours": [1, 4, 3],
    "a mask": [i in TH for i in range(6)],
    "numpy": np.array([3, 1, 4]),
}


def built(thalamus, cortex=..., first="thalamus", **own) -> gx.Network:
    groups = {
        "thalamus": (gx.models.Hopf(a=own.get("a", -0.1), omega=0.2), thalamus),
        "cortex": (gx.models.WongWang(w=own.get("w", 0.6)), cortex),
    }
    names = ["thalamus", "cortex"] if first == "thalamus" else ["cortex", "thalamus"]
    model = gx.Groups({name: groups[name] for name in names})
    couplings = {
        "cc": gx.couplings.Difference(source="cortex.S", target="cortex.c", strength=0.3),
        "ct": gx.couplings.Linear(source="cortex.S", target="thalamus.c_x", strength=0.5),
        "tc": gx.couplings.Linear(source="thalamus.x", target="cortex.c", strength=0.2, weights=UP),
    }
    return gx.Network(model, couplings, wiring("O"), gx.Delay(3.0))


MONITORS = {
    "cortex": gx.monitors.Subsample(source="cortex.S", period=5.0),
    "thalamus": gx.monitors.Subsample(source=("thalamus.x", "thalamus.y"), period=5.0),
}


def recorded(net):
    """By label, what every region's states were."""
    run = gx.simulate(net, 20.0, 0.5, monitors=MONITORS)
    return {
        label: np.asarray(record.values)[:, :, i]
        for record in (run[n] for n in MONITORS)
        for i, label in enumerate(record.labels)
    }


def same(found, expected):
    assert sorted(found) == sorted(expected) == list(LABELS)
    for label in LABELS:
        np.testing.assert_allclose(found[label], expected[label], rtol=2e-5 if SINGLE else 1e-12, err_msg=label)


@pytest.fixture(scope="module")
def expected():
    values = recorded(built(TH, CX))
    assert all(np.ptp(values[label]) > 1e-4 for label in LABELS)
    ends = [values[label][-1, 0] for label in LABELS]
    assert len({round(float(end), 5) for end in ends}) == 6  # no two alike: a mix-up would show
    return values


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_the_order_in_which_regions_are_named_changes_nothing(order, expected):
    net = built(ORDERS[order])
    assert net.model.members("thalamus") == tuple(TH) and net.model.members("cortex") == tuple(CX)
    same(recorded(net), expected)


@pytest.mark.once
@pytest.mark.slow("float64")
def test_nor_does_the_order_of_the_groups(expected):
    same(recorded(built(["O4", "O1", "O3"], ["O5", "O0", "O2"], first="cortex")), expected)


@pytest.mark.slow
def test_parameters_of_a_groups_regions_are_in_the_order_of_the_connectome():
    """However the regions were named: what `per_region` and a fit make is an array in that order."""
    a = np.array([-0.3, -0.2, -0.1])
    each = {}
    for order in (TH, [4, 1, 3]):
        drift = np.asarray(built(order, a=a).model.drift(0.0, jnp.full((3, 6), 0.5), jnp.zeros((3, 6))))
        each[str(order)] = drift[0]
        np.testing.assert_allclose(drift[0, TH], (a - 0.5) * 0.5 - 0.2 * 0.5, rtol=1e-5)
    np.testing.assert_array_equal(*each.values())


@pytest.mark.slow
@pytest.mark.once
def test_gradients_are_of_the_regions_whose_parameters_they_are():
    """Each region's own parameter matters most to it, after a run with delays."""

    def late(a, order):
        run = gx.simulate(built(order, a=a), 10.0, 0.5, monitors=MONITORS["thalamus"], autodiff="forward")
        return run["monitor"].values[-1, 0]

    slopes = [np.asarray(jax.jacfwd(late)(jnp.array([-0.3, -0.2, -0.1]), order)) for order in (TH, [4, 1, 3])]
    own = np.abs(np.diag(slopes[0]))
    assert own.min() > 10 * np.abs(slopes[0] - np.diag(np.diag(slopes[0]))).max() and len(set(own.round(6))) == 3
    np.testing.assert_allclose(slopes[1], slopes[0], rtol=1e-12)
