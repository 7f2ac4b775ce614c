"""One parameter of a tree: found, read and replaced by its dotted name or by a function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from gyrax.parameters.addresses import find_one, get, named_leaves, replace


def network() -> gx.Network:
    couplings = {
        "near": gx.couplings.Linear(source="S", strength=0.1),
        "far": gx.couplings.Linear(source="S", strength=0.7),
    }
    return gx.Network(gx.models.WongWang(w=0.4), couplings, gx.Connectome([[0, 1.0], [2.0, 0]]))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("model.w", lambda n: n.model.w),
        ("coupling.far.strength", lambda n: n.coupling["far"].strength),
        ("connectome.weights", lambda n: n.connectome.weights),
    ],
)
def test_a_name_and_a_function_lead_to_the_same(name, function):
    net = network()
    assert find_one(net, name) == find_one(net, function)
    assert get(net, name) is get(net, function) is function(net)
    assert named_leaves(net)[name] is function(net)
    changed = replace(net, {function: 3 * function(net)})
    np.testing.assert_array_equal(get(changed, name), 3 * function(net))
    same = [a is b for a, b in zip(jax.tree.leaves(net), jax.tree.leaves(changed), strict=True)]
    assert same.count(False) == 1


def test_what_is_replaced_keeps_its_dtype_and_may_change_its_shape():
    changed = replace(network(), {"model.w": np.array([1, 2]), find_one(network(), "model.I_o"): 1})
    assert changed.model.w.dtype == changed.model.I_o.dtype == jnp.result_type(float)
    assert changed.model.w.tolist() == [1, 2] and not changed.model.I_o.weak_type


@pytest.mark.once
@pytest.mark.parametrize("ask", [get, lambda net, where: replace(net, {where: 1.0})])
def test_none_and_several_are_refused_by_name(ask):
    with pytest.raises(ValueError, match=r"did you mean 'coupling\.far\.strength'"):
        ask(network(), "coupling.far.strenght")
    with pytest.raises(
        ValueError, match=r"coupling is 2 parameters: coupling\.far\.strength, coupling\.near\.strength"
    ):
        ask(network(), "coupling")
    with pytest.raises(ValueError, match="as they are"):
        ask(network(), lambda n: 2 * n.model.w)
