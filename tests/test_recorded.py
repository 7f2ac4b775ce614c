"""Runs and gradients of every kind give the numbers that they gave before: see recorded.py."""

from pathlib import Path

import numpy as np
import pytest

from recorded import CASES, arrays

KEPT = dict(np.load(Path(__file__).parent / "data" / "recorded.npz"))


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_recorded(name):
    found = arrays(name)
    assert found.keys() == {place for place in KEPT if place.split(".")[0] == name}
    for place, values in found.items():
        kept = KEPT[place]
        size = np.abs(kept[np.isfinite(kept)]).max(initial=0) if kept.dtype.kind == "f" else 0
        np.testing.assert_allclose(values, kept, rtol=1e-7, atol=1e-9 * size, err_msg=place)
