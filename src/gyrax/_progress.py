"""The progress bar: a widget where there are widgets, text elsewhere."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # without ipywidgets, tqdm says so at import and then does what we want
    from tqdm.auto import tqdm

__all__ = ["tqdm"]
