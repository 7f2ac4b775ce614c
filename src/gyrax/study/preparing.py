"""What a study needs, read and checked before any of it is computed."""

from pathlib import Path

from .._kinds import expect, flag
from ..anatomy.connectome import Connectome
from ..datasets.connectomes import load
from .data import Data, read_prior
from .scans import Scan
from .settings import Settings
from .structure import scaled
from .study import Study


def prepare(settings: Settings, out: Path, progress: bool = True) -> Study:
    """Reads and checks all that a study needs, before any of it is computed.

    Raises:
        FileNotFoundError, ValueError, TypeError: saying what is wrong and how to mend it.
    """
    expect("settings", settings, Settings, "settings", "gx.study.Settings()")
    expect("out", out, (str, Path), "a folder", "Path('gyrax-fit')")
    flag("progress", progress)
    connectome = load("dk84").connectome if settings.connectome == "dk84" else Connectome.load(settings.connectome)
    scans = [
        tuple(Scan.of(name, connectome, tr=settings.tr, atlas=settings.atlas) for name in names)
        for names in (settings.fit, settings.test)
    ]
    fit, test = scans
    data = Data(connectome, fit, test, None if settings.prior is None else read_prior(settings.prior, connectome))
    return Study(settings, data, scaled(connectome, settings.weights), Path(out), progress)
