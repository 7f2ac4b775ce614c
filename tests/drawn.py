"""What tests of plots share: figures that are closed, and what is read of them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def closed():
    plt.close("all")
    yield
    plt.close("all")


def texts(labels):
    return [label.get_text() for label in labels]


def curve(line):
    return np.column_stack(line.get_data())
