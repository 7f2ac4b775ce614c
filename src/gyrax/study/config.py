"""What a study is of, in its `config.yaml`: written when it begins, and compared by whoever goes on with it."""

import dataclasses
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import yaml

from .._digests import digest
from .._formats.writing import write_text
from ..io.maps import read_maps
from ..network.network import Network
from .data import Data
from .mismatch import Dynamics
from .scans import Scan
from .settings import Settings

#: What stands in the file, and what it is called where it differs.
_DATA = {
    "precision": "the precision",
    "connectome": "the connectome",
    "fit": "what is fitted",
    "test": "what is held out",
    "prior": "the prior",
    "maps": "the table of maps",
    "dynamics": "the dynamics to be met",
    "network": "the network",
}


def described(settings: Settings, network: Network, data: Data, dynamics: Dynamics | None) -> dict[str, Any]:
    """Settings, the versions that computed, and digests of the data: paths alone do not say what was in the files."""
    packages = ("gyrax", "jax", "equinox", "diffrax", "optax", "numpy")
    versions = {name: version(name) for name in packages} | {"python": platform.python_version()}
    connectome = network.connectome
    held = {
        "precision": str(jnp.result_type(float)),
        "connectome": digest(connectome.labels, connectome.weights, connectome.lengths),
        "fit": _digest(data.fit),
        "test": _digest(data.test),
        "prior": None if data.prior is None else _digest((data.prior,)),
        "maps": None if settings.maps is None else digest(read_maps(settings.maps, connectome.labels).to_numpy()),
        "dynamics": None if dynamics is None else digest(dynamics),
        "network": digest(network),
    }
    return {"settings": settings.plain(), "versions": versions, "data": held}


def _digest(scans: tuple[Scan, ...]) -> str:
    """Of what was measured, whatever it is called: NaN where a scan has no region counts as such."""
    parts = [part for scan in scans for part in (scan.fc, scan.series, scan.period)]
    return digest(*(np.nan_to_num(part, nan=9.0) if isinstance(part, np.ndarray) else part for part in parts))


def begin_or_compare(folder: Path, here: dict[str, Any]) -> None:
    """Writes the description of a study that begins; of one that goes on, it is compared and never written again.

    Raises:
        ValueError: if another study was begun in the folder, or with other data; if its description is damaged or gone.
    """
    path = folder / "config.yaml"
    if not path.exists():
        if any((folder / "stages").glob("*.json")):
            raise ValueError(
                f"{folder} has stages of a study, but no {path.name} that says of which: begin in another folder"
            )
        write_text(path, yaml.safe_dump(here, sort_keys=False))
        return
    there = _read(path)
    settings, now = _settings(path, there), Settings.from_plain(here["settings"])
    for name, value in dataclasses.asdict(settings).items():
        if value != getattr(now, name):
            raise ValueError(
                f"the fit in {folder} was begun with {name} {value}, not {getattr(now, name)}: go on with that, or begin another"
            )
    if not isinstance(there.get("data"), dict):
        raise ValueError(f"{path} does not say which data the fit was begun with: begin another in another folder")
    for name, called in _DATA.items():
        if there["data"].get(name) != here["data"][name]:
            file = here["settings"].get(name)
            files = ", ".join(file) if isinstance(file, list) else file
            what = f"{called} ({files})" if files else called
            raise ValueError(
                f"{what} is not what the fit in {folder} was begun with ({there['data'].get(name)} there, "
                f"{here['data'][name]} now): put back what it was, or begin another fit in another folder"
            )


def read_settings(folder: Path) -> Settings:
    """The settings that the study in a folder was begun with.

    Raises:
        ValueError: naming the file, if it is damaged, or a setting is missing, unknown, of another type or out of range.
    """
    path = folder / "config.yaml"
    return _settings(path, _read(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _damaged(path, " ".join(str(error).split())) from error
    if not isinstance(found, dict):
        raise _damaged(path, "it is empty" if found is None else f"it holds {type(found).__name__}, not settings")
    return found


def _settings(path: Path, found: dict[str, Any]) -> Settings:
    kept, names = found.get("settings"), [field.name for field in dataclasses.fields(Settings)]
    if not isinstance(kept, dict):
        raise _damaged(path, "it has no settings")
    odd = [name for name in names if name not in kept] + [name for name in kept if name not in names]
    if odd:
        raise _damaged(path, f"setting '{odd[0]}' is {'unknown' if odd[0] in kept else 'missing'}")
    try:
        return Settings.from_plain(kept)
    except (TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(f"{path} is damaged ({why}): mend it, or begin another fit in another folder")
