import signal

import pytest


@pytest.fixture
def ctrl_c():
    """Ctrl-C, also where the suite runs in the background of a shell, which has its processes ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
