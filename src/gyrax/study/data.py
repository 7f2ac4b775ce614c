"""What a study fits and is tested on: scans of the same regions, and one target made of them."""

import dataclasses
import functools
import os

import numpy as np

from .._formats.reading import existing
from .._kinds import expect
from ..anatomy.connectome import Connectome
from ..labelled import check_same
from .scans import FEWEST, Scan, correlations, from_fc


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """What a study fits and what it is tested on: scans of the same regions, and one target made of those to be fitted.

    Attributes:
        connectome: structure, in whatever unit.
        fit: scans to be fitted.
        test: scans held out; nothing is chosen by them.
        prior: what was known before, such as a group's model: the target is drawn to it.
    """

    connectome: Connectome
    fit: tuple[Scan, ...]
    test: tuple[Scan, ...] = ()
    prior: Scan | None = None

    def __post_init__(self):
        expect("connectome", self.connectome, Connectome, "a connectome", "gx.Connectome(weights, lengths)")
        for argument in ("fit", "test"):
            given = getattr(self, argument)
            line = '(gx.study.Scan.of("rest1.tsv", connectome, tr=0.72),)'
            expect(argument, given, (tuple, list), "a tuple of scans", line)
            for scan in given:
                expect(argument, scan, Scan, "a tuple of scans", line)
            object.__setattr__(self, argument, tuple(given))
        expect("prior", self.prior, (Scan, None), "a scan", 'gx.study.Scan.of("group.tsv", connectome)')
        n = self.connectome.n_regions
        for scan in self._all:
            check_same(self.connectome.labels, scan.labels, "the connectome", scan.name)
            if len(scan.fc) != n:
                raise ValueError(
                    f"{scan.name} is of {len(scan.fc)} regions, and the connectome has {n}: Scan.of(..., connectome)"
                )
        if not self.fit:
            raise ValueError("there is no scan to fit: name one at least")
        told: list[Scan] = []
        for scan in self._all:
            for other in told:
                # rounded, or in single precision, it is still the same
                if np.allclose(scan.fc, other.fc, atol=1e-3, equal_nan=True):
                    held_out = scan in self.test and other in self.fit
                    which = "the test scan is the training scan" if held_out else "they are one"
                    raise ValueError(
                        f"{scan.name} and {other.name} hold the same connectivity: {which}; give another scan"
                    )
                if scan.name == other.name:
                    raise ValueError(f"two scans are called '{scan.name}': give each a name, Scan.of(..., name=)")
            told.append(scan)
        if self.there.sum() < FEWEST:
            raise ValueError(f"the scans have {int(self.there.sum())} regions in common: they are of different regions")

    @property
    def _all(self) -> tuple[Scan, ...]:
        return (*self.fit, *self.test, *([] if self.prior is None else [self.prior]))

    @property
    def there(self) -> np.ndarray:
        """The regions that every scan has, `(region,)`."""
        return np.logical_and.reduce([scan.there for scan in self._all])

    @property
    def measured(self) -> np.ndarray:
        """The mean of Fisher's z over the scans to fit, weighed by their samples; zero where not all scans have a region."""
        weights = [scan.samples for scan in self.fit]
        return self._whole(_mean([scan.fc for scan in self.fit], None if None in weights else np.array(weights, float)))

    @property
    def target(self) -> np.ndarray:
        """The connectivity to fit: what was measured, drawn to the prior."""
        if self.prior is None:
            return self.measured
        return self._whole(self.share * self.measured + (1 - self.share) * self.prior.fc)

    @functools.cached_property
    def share(self) -> float:
        """How much of the target is measured; the rest is the prior's.

        By it some scans to fit, mixed with the prior, predict the others best; of one scan, one half the other half.
        So it is of parts, where the whole has less noise; and a correlation does not mind a prior that is nearly constant, which
        may get half of the target: give one that you would believe.
        """
        if self.prior is None:
            return 1.0
        parts = [scan.fc for scan in self.fit]
        if len(parts) == 1:
            series = self.fit[0].series
            if series is None:
                raise ValueError(
                    f"how far to draw {self.fit[0].name} to the prior is told by its halves, and it is connectivity alone: give its "
                    "series, or several scans"
                )
            parts = [correlations(half) for half in np.array_split(series, 2)]
        i, j = np.triu_indices(len(self.there), 1)
        kept = self.there[i] & self.there[j]
        values, known = np.array(parts)[:, i[kept], j[kept]], self.prior.fc[i[kept], j[kept]]

        def predicted(share: float) -> float:
            others = [share * np.delete(values, k, 0).mean(0) + (1 - share) * known for k in range(len(values))]
            return float(np.mean([np.corrcoef(other, own)[0, 1] for other, own in zip(others, values, strict=True)]))

        return max(np.linspace(0.0, 1.0, 41).round(4).tolist(), key=predicted)

    def _whole(self, fc: np.ndarray) -> np.ndarray:
        """Zero where not every scan has a region, ones along the diagonal."""
        found = np.where(self.there[:, None] & self.there[None, :], np.nan_to_num(fc), 0.0)
        np.fill_diagonal(found, 1.0)
        return found

    @property
    def period(self) -> float | None:
        """ms between samples, where the scans to fit say so, and all the same."""
        found = {scan.period for scan in self.fit if scan.period is not None}
        if len(found) > 1:
            raise ValueError(
                f"the scans have TRs of {', '.join(f'{p / 1000:g}' for p in sorted(found))} s: fit those of one TR"
            )
        return found.pop() if found else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know, of all scans."""
        return tuple(dict.fromkeys(note for scan in self._all for note in scan.notes))

    def __repr__(self):
        lines = [f"Data of {int(self.there.sum())} of {len(self.there)} regions", f"  connectome {self.connectome!r}"]
        lines += [f"  fit        {scan!r}" for scan in self.fit] + [f"  test       {scan!r}" for scan in self.test]
        lines += [] if self.prior is None else [f"  prior      {self.prior!r}, {1 - self.share:.0%} of the target"]
        return "\n".join(lines)


def _mean(fcs: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
    """Of correlations, by Fisher's z; one alone stays as it is."""
    if len(fcs) == 1:
        return fcs[0]
    z = np.arctanh(np.clip(np.stack(fcs), -0.999999, 0.999999))
    return np.tanh(np.average(z, axis=0, weights=weights))


def read_prior(path: str | os.PathLike[str], connectome: Connectome) -> Scan:
    """What was known before: the folder of an earlier study, whose model's mean connectivity counts, or a file as of a scan.

    Raises:
        FileNotFoundError: there is no such file, or no study in the folder.
        ValueError: as `Scan.of`.
    """
    path = existing(path)
    if not path.is_dir():
        return Scan.of(path, connectome)
    import xarray as xr

    file = existing(path / "recordings.nc")
    with xr.open_dataset(file, engine="scipy") as found:
        if not {"fc", "region"} <= set(found.variables):
            raise ValueError(f"{file} has no connectivity: name the folder of a fit that was finished, or a file")
        fc, labels = found["fc"].values, [str(name) for name in found["region"].values]
    return from_fc(str(path), _mean(list(fc), None), labels, connectome)
