"""What models there are, and what is in one."""

import inspect
import sys
from typing import Any

import numpy as np
import pandas as pd

from ..parameters.declaring import parameters
from .base import AbstractModel


def table(model: type[AbstractModel] | AbstractModel | None = None) -> pd.DataFrame:
    """All models, one a row; or of one model (your own included) all parameters, one a row.

    Args:
        model: a class or an instance; left out, all of `gx.models`.

    Returns:
        Of all models: names of states, inputs, outputs and parameters, the paper, and what other packages call it. Of one:
        default, unit, domain and meaning.

    Example:
        >>> import gyrax as gx
        >>> gx.models.table().loc["Hopf", ["states", "inputs", "tvb"]].tolist()
        ['x, y', 'c_x, c_y', 'SupHopf']
        >>> gx.models.table(gx.models.Hopf)
                  default    unit domain                meaning
        parameter
        a            -0.5     1/ms  real  bifurcation parameter
        omega         1.0  rad/ms    > 0      angular frequency
    """
    if model is None:
        return pd.DataFrame([_row(kind) for kind in _all()]).set_index("model")
    kind = model if inspect.isclass(model) else type(model)
    rows = [
        {
            "parameter": name,
            "default": field.default if np.isscalar(field.default) else None,
            "unit": field.metadata["unit"],
            "domain": str(field.metadata["domain"]),
            "meaning": field.metadata["doc"],
        }
        for name, field in parameters(kind).items()
    ]
    return pd.DataFrame(rows, columns=["parameter", "default", "unit", "domain", "meaning"]).set_index("parameter")


def _all() -> list[type[AbstractModel]]:
    models = vars(sys.modules[__name__.rpartition(".")[0]])  # all that the package has by the time it is asked
    found = (what for _, what in sorted(models.items()) if inspect.isclass(what))
    return [what for what in found if issubclass(what, AbstractModel) and what is not AbstractModel]


def _row(model: type[AbstractModel]) -> dict[str, Any]:
    names = {
        kind: "its model's, and more" if isinstance(given, property) else ", ".join(given)
        for kind in ("states", "inputs", "outputs")
        for given in [getattr(model, kind)]
    }
    elsewhere = ", ".join(f"{package}: {name}" for package, name in model.peers.items() if package != "tvb")
    about = {"reference": model.reference, "tvb": model.peers.get("tvb", ""), "elsewhere": elsewhere}
    return {"model": model.__name__} | names | {"parameters": ", ".join(parameters(model))} | about
