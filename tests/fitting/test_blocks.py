"""Compiled steps, and calls of them between which Python looks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gyrax.fitting import blocks
from gyrax.fitting.blocks import compiled_steps, in_blocks

pytestmark = pytest.mark.once
ROOM = 4


def doubled(carry):
    return 2 * carry, {"before": carry}


@jax.jit
def compiled(carry, most_steps, limit):
    return compiled_steps(doubled, carry, most_steps, lambda x: x < limit, ROOM)


@pytest.mark.parametrize(("most", "limit", "taken"), [(3, 1e9, 3), (9, 1e9, ROOM), (3, 2.0, 1), (0, 1e9, 0)])
def test_steps_end_by_their_number_by_room_or_by_a_condition(most, limit, taken):
    count, carry, values = compiled(jnp.ones(()), jnp.asarray(most), limit)
    assert count == taken and carry == 2.0**taken
    np.testing.assert_array_equal(values["before"], [*2.0 ** np.arange(taken), *[0] * (ROOM - taken)])


def run(monkeypatch, seconds, steps=10, look=lambda carry, record, done: None, done=0):
    """Doublings in blocks, and how many steps each call was asked for."""
    monkeypatch.setattr(blocks, "_SECONDS", seconds)
    asked = []

    def advance(carry, most_steps):
        asked.append(most_steps)
        taken, carry, values = compiled(carry, jnp.asarray(most_steps), 1e9)
        return int(taken), carry, values

    record = {"before": np.empty(0)}
    options = {
        "room": ROOM,
        "look": look,
        "shown": lambda carry, record: {},
        "title": "",
        "unit": "",
        "progress": False,
    }
    return *in_blocks(advance, jnp.ones(()), record, done=done, steps=steps, **options), asked


@pytest.mark.parametrize(("seconds", "asked"), [(0.0, [1] * 10), (1e9, [1, 1, 4, 4])], ids=["slow", "fast"])
def test_blocks_are_as_long_as_time_and_room_allow_and_change_nothing(seconds, asked, monkeypatch):
    carry, record, stopped, calls = run(monkeypatch, seconds)
    assert calls == asked and stopped == "steps" and carry == 2.0**10
    np.testing.assert_array_equal(record["before"], 2.0 ** np.arange(10))


def test_what_looks_between_blocks_sees_them_whole_and_may_stop(monkeypatch):
    seen = []

    def look(carry, record, done):
        seen.append((float(carry), len(record["before"]), done))
        return "enough" if done >= 5 else None

    _, record, stopped, _ = run(monkeypatch, 0.0, look=look, done=2)
    assert stopped == "enough" and len(record["before"]) == 3
    assert seen == [(2.0, 1, 3), (4.0, 2, 4), (8.0, 3, 5)]


def test_an_interruption_keeps_what_was_finished(monkeypatch):
    def look(carry, record, done):
        if done == 3:
            raise KeyboardInterrupt

    carry, record, stopped, _ = run(monkeypatch, 0.0, look=look)
    assert stopped == "interrupted" and carry == 8.0 and len(record["before"]) == 3
