"""Packages that only some people need."""

import importlib
from typing import Any


def need(package: str, extra: str) -> Any:
    """An optional package, imported.

    Raises:
        ImportError: if it is not installed, with the extra that brings it.

    Example:
        >>> need("numpy", "io").__name__
        'numpy'
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or not (package + ".").startswith(error.name + "."):
            raise  # it is there, and lacks something itself
        raise ImportError(f"this needs {package}: pip install 'gyrax[{extra}]'") from error
