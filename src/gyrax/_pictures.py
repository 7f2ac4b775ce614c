"""Pictures that objects offer of themselves."""

import importlib
from typing import Any


def draw(name: str, *args: Any, **options: Any) -> Any:
    """What `gyrax.plot.<name>` draws, for the `plot` method of what is drawn.

    It is looked up when somebody asks for a picture: what draws builds on everything else, and needs matplotlib.

    Example:
        >>> draw("fits.loss_history", [3.0, 2.0, 1.0]).get_ylabel()
        'loss'
    """
    module, function = f"gyrax.plot.{name}".rsplit(".", 1)
    return getattr(importlib.import_module(module), function)(*args, **options)
