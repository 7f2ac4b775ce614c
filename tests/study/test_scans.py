"""Scans as they come: matched by name, missing regions left out and said, and one sentence for what cannot be."""

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

import gyrax as gx
from gyrax.study import Data, Scan
from gyrax.study.scans import looks_like_fc

pytestmark = pytest.mark.once

LABELS = list("ABCDE")
N = len(LABELS)


@pytest.fixture(scope="module")
def connectome():
    weights = np.random.default_rng(0).uniform(0.1, 1, (N, N))
    return gx.Connectome(weights * (1 - np.eye(N)), labels=LABELS)


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(1)
    return rng.normal(size=(60, N)) + 1.5 * rng.normal(size=(60, 1))


def table(path, values, labels, mark="\t"):
    lines = [mark.join(labels), *(mark.join(f"{x:.17g}" for x in row) for row in values)]
    path.write_text("\n".join(lines) + "\n")
    return path


WRITERS = {
    "tsv": lambda p, x: table(p / "x.tsv", x, LABELS),
    "csv": lambda p, x: table(p / "x.csv", x, LABELS, ","),
    "npy": lambda p, x: np.save(p / "x.npy", x) or p / "x.npy",
    "npz": lambda p, x: np.savez(p / "x.npz", bold=x, labels=LABELS) or p / "x.npz",
    "mat": lambda p, x: savemat(p / "x.mat", {"bold": x, "labels": np.array(LABELS, object)}) or p / "x.mat",
}


@pytest.mark.parametrize("kind", WRITERS)
def test_series_of_any_format_are_the_same_scan(kind, connectome, series, tmp_path):
    scan = Scan.of(WRITERS[kind](tmp_path, series), connectome, tr=0.72)
    np.testing.assert_allclose(scan.fc, np.corrcoef(series.T), atol=1e-6)
    np.testing.assert_allclose(scan.series, series, rtol=1e-6)
    assert scan.period == 720.0 and scan.samples == 60 and scan.there.all()
    assert bool(scan.notes) == (kind == "npy")  # which names no regions


@pytest.mark.parametrize("kind", WRITERS)
def test_connectivity_of_any_format_is_known_as_such(kind, connectome, series, tmp_path):
    fc = np.corrcoef(series.T)
    scan = Scan.of(WRITERS[kind](tmp_path, fc), connectome)
    np.testing.assert_allclose(scan.fc, fc, atol=1e-6)
    assert scan.series is None and scan.period is None


def test_regions_are_matched_by_their_names(connectome, series, tmp_path):
    """The file has another order, one region less and one more: both are said, and the missing one counts nowhere."""
    names = ["E", "X", "A", "C", "B"]
    values = np.column_stack([series[:, [4]], np.arange(60.0), series[:, [0, 2, 1]]])
    scan = Scan.of(table(tmp_path / "x.tsv", values, names), connectome, tr=2.0)
    assert scan.there.tolist() == [True, True, True, False, True]
    kept = [0, 1, 2, 4]
    np.testing.assert_allclose(scan.fc[np.ix_(kept, kept)], np.corrcoef(series[:, kept].T), atol=1e-9)
    assert np.isnan(scan.fc[3]).all() and np.isnan(scan.series[:, 3]).all()
    missing, more = scan.notes
    assert "has nothing of 1 regions, which count nowhere: D" in missing and "were left out: X" in more
    frame = pd.DataFrame(values, columns=names)
    np.testing.assert_array_equal(Scan.of(frame, connectome, tr=2.0).fc, scan.fc)
    fc = pd.DataFrame(np.corrcoef(values.T), index=names, columns=names)
    np.testing.assert_allclose(Scan.of(fc, connectome).fc, scan.fc, atol=1e-9)


def test_a_recording_is_a_scan(connectome, series):
    recording = gx.io.from_nilearn(series, tr=0.8, labels=LABELS)
    scan = Scan.of(recording, connectome)
    assert scan.period == 800.0
    np.testing.assert_allclose(scan.fc, np.corrcoef(series.T), atol=1e-5)
    with pytest.raises(ValueError, match=r"800 ms apart, not 720 ms \(tr, in s\)"):
        Scan.of(recording, connectome, tr=0.72)


def test_rows_that_are_regions_are_taken_so_and_said(connectome, series, tmp_path):
    np.save(tmp_path / "x.npy", series.T)
    scan = Scan.of(tmp_path / "x.npy", connectome, tr=0.72)
    np.testing.assert_allclose(scan.series, series)
    assert "has a row for each of 5 regions and 60 columns, which were taken as samples" in scan.notes[0]


def test_connectivity_without_its_mean_is_recognised(connectome, series):
    plain = Scan.of(pd.DataFrame(series, columns=LABELS), connectome, tr=1.0)
    assert not plain.notes
    regressed = series - series.mean(1, keepdims=True)
    (note,) = Scan.of(pd.DataFrame(regressed, columns=LABELS), connectome, tr=1.0).notes
    assert "as after the mean of all regions was subtracted" in note


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda x: x, {}, r"has series, but no TR: say how many s lie between two samples \(--tr"),
        (
            lambda x: x,
            {"tr": 720.0},
            r"a TR of 720 s for .* cannot be: it is in s, usually 0.05 to 20; 720 ms are 0.72 s",
        ),
        (lambda x: x, {"tr": 0.00072}, "a TR of 0.00072 s for .* cannot be"),
        (lambda x: x, {"tr": -1.0}, "cannot be"),
        (
            lambda x: np.where(np.arange(N) == 2, 3.0, x),
            {"tr": 1.0},
            "1 regions never change in .*: C; take their columns",
        ),
        (lambda x: x[:10], {"tr": 1.0}, "has 10 samples of 5 regions: too few"),
    ],
)
def test_series_that_cannot_be_are_one_sentence(change, options, message, connectome, series, tmp_path):
    path = table(tmp_path / "x.tsv", change(series), LABELS)
    for given in (path, pd.DataFrame(change(series), columns=LABELS)):
        with pytest.raises(ValueError, match=message) as told:
            Scan.of(given, connectome, **options)
        assert "\n" not in str(told.value)


def test_missing_values_and_regions_are_named(connectome, series, tmp_path):
    gone = series.copy()
    gone[7, 1] = np.nan
    with pytest.raises(ValueError, match="1 regions are not finite in scan: B"):
        Scan.of(pd.DataFrame(gone, columns=LABELS), connectome, tr=1.0)
    with pytest.raises(ValueError, match="B at"):
        Scan.of(table(tmp_path / "x.tsv", gone, LABELS), connectome, tr=1.0)
    with pytest.raises(ValueError, match="has 4 regions without names, and the connectome 5"):
        Scan.of(series[:, :4], connectome, tr=1.0)
    with pytest.raises(ValueError, match="share 0 regions, expected 3 or more: 'V' is not in the connectome"):
        Scan.of(table(tmp_path / "y.tsv", series, list("VWXYZ")), connectome, tr=1.0)
    with pytest.raises(ValueError, match="has region 'A' twice"):
        Scan.of(pd.DataFrame(series, columns=list("ABCDA")), connectome, tr=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: 2 * x, r"is no functional connectivity: entry \[0, 0\] is 2, outside of \[-1, 1\]"),
        (lambda x: np.triu(x), "is not symmetric: entries"),
        (lambda x: np.ones((N, N)), "is 1 for every pair of regions: there is nothing to fit"),
        (lambda x: x + np.diag(np.arange(N) / 10 - 0.9), "along its diagonal, where correlations have ones"),
    ],
)
def test_connectivity_that_cannot_be_is_one_sentence(change, message, connectome, series, tmp_path):
    path = table(tmp_path / "x.tsv", change(np.corrcoef(series.T)), LABELS)
    with pytest.raises(ValueError, match=message):
        Scan.of(path, connectome)


def test_the_target_of_several_scans_is_the_mean_of_fishers_z(connectome, series):
    a, b = (
        Scan.of(pd.DataFrame(x, columns=LABELS), connectome, tr=1.0, name=n)
        for x, n in ((series, "a"), (series[:20], "b"))
    )
    data = Data(connectome, (a, b))
    i, j = np.triu_indices(N, 1)
    expected = np.tanh((60 * np.arctanh(a.fc[i, j]) + 20 * np.arctanh(b.fc[i, j])) / 80)
    np.testing.assert_allclose(data.target[i, j], expected, rtol=1e-9)
    assert data.period == 1000.0 and (np.diag(data.target) == 1).all()


def test_what_does_not_belong_together_is_refused(connectome, series):
    a = Scan.of(pd.DataFrame(series, columns=LABELS), connectome, tr=1.0, name="a")
    b = Scan.of(pd.DataFrame(series[:30], columns=LABELS), connectome, tr=2.0, name="b")
    again = Scan.of(np.corrcoef(series.T), connectome, name="again")
    with pytest.raises(ValueError, match="again and a hold the same connectivity: the test scan is the training scan"):
        Data(connectome, (a,), (again,))
    with pytest.raises(ValueError, match="they are one"):
        Data(connectome, (a, again))
    with pytest.raises(ValueError, match=r"the scans have TRs of 1, 2 s"):
        _ = Data(connectome, (a, b)).period
    one, two = (
        Scan.of(pd.DataFrame(series[:, k], columns=[LABELS[i] for i in k]), connectome, tr=1.0, name=str(k))
        for k in ([0, 1, 2], [2, 3, 4])
    )
    with pytest.raises(ValueError, match="have 1 regions in common: they are of different regions"):
        Data(connectome, (one,), (two,))


def test_what_looks_like_connectivity():
    rng = np.random.default_rng(0)
    fc = np.corrcoef(rng.normal(size=(4, 9)))
    assert looks_like_fc(fc) and looks_like_fc(fc - np.eye(4)) and not looks_like_fc(fc[:3])
    assert not looks_like_fc(rng.normal(size=(4, 4))) and not looks_like_fc(3 * fc)
    assert not looks_like_fc(fc + np.diag([0, 0, 0, -0.5]))


# What reviewers broke


def test_regions_without_values_are_left_out_and_single_pairs_refused(connectome, series):
    fc = np.corrcoef(series.T)
    row = fc.copy()
    row[2], row[:, 2] = np.nan, np.nan
    scan = Scan.of(row, connectome)
    assert scan.there.tolist() == [True, True, False, True, True] and "has no values of 1 regions" in scan.notes[1]
    pair = fc.copy()
    pair[0, 3] = pair[3, 0] = np.nan
    with pytest.raises(ValueError, match=r"has no value between A and D \(1 such pairs\)"):
        Scan.of(pair, connectome)


def test_scans_are_of_the_connectome_they_were_matched_with(connectome, series):
    scan = Scan.of(pd.DataFrame(series, columns=LABELS), connectome, tr=1.0)
    turned = connectome.subset(LABELS[::-1])
    with pytest.raises(ValueError, match="labels disagree: number 0 is 'E' in the connectome, but 'A' in scan"):
        Data(turned, (scan,))
    twin = Scan.of(series[:30], connectome, tr=1.0)
    with pytest.raises(ValueError, match="two scans are called 'scan': give each a name"):
        Data(connectome, (scan,), (twin,))


def test_the_training_scan_rounded_is_still_the_training_scan(connectome, series):
    one = Scan.of(series, connectome, tr=1.0, name="one")
    for other in (series.astype(np.float32), np.corrcoef(series.T).round(4)):
        with pytest.raises(ValueError, match="the test scan is the training scan"):
            Data(connectome, (one,), (Scan.of(other, connectome, tr=1.0, name="other"),))


@pytest.mark.parametrize(
    "change", [np.cov, lambda x: np.arctanh(np.corrcoef(x) * 0.99 - 0.99 * np.eye(N)) * 9, np.triu]
)
def test_a_square_matrix_in_memory_is_no_series(change, connectome, series):
    square = change(series.T) if change is not np.triu else np.triu(np.corrcoef(series.T))
    with pytest.raises(ValueError, match="series have a row a sample, and more of them than regions"):
        Scan.of(square, connectome, tr=1.0)


def test_names_are_names_whatever_they_look_like(series, tmp_path):
    labels = [f"region_{i}" for i in range(1, N + 1)]
    connectome = gx.Connectome(np.ones((N, N)) - np.eye(N), labels=labels)
    straight = Scan.of(series, connectome, tr=1.0)
    turned = Scan.of(table(tmp_path / "x.csv", series[:, ::-1], labels[::-1], ","), connectome, tr=1.0)
    np.testing.assert_allclose(turned.fc, straight.fc, atol=1e-9)
    plain = gx.Connectome(np.ones((N, N)) - np.eye(N))
    named = pd.DataFrame(series[:, ::-1], columns=plain.labels[::-1])
    np.testing.assert_allclose(Scan.of(named, plain, tr=1.0).fc, straight.fc, atol=1e-9)
    unnamed = Scan.of(gx.io.from_nilearn(series, tr=1.0), connectome)
    np.testing.assert_allclose(unnamed.fc, straight.fc, atol=1e-5)
    with pytest.raises(ValueError, match=r"calls its columns 4, 0, \.\.\.: expected names of regions, as text"):
        Scan.of(pd.DataFrame(series, columns=range(N)[::-1]), connectome, tr=1.0)


def test_named_columns_are_never_taken_for_samples(connectome, series, tmp_path):
    """A series with as many samples as the connectome has regions, and another number of columns with names."""
    n = 25
    many = gx.Connectome(np.ones((n, n)) - np.eye(n), labels=[f"R{i}" for i in range(n)])
    values = np.random.default_rng(0).normal(size=(n, n - 1))
    scan = Scan.of(table(tmp_path / "x.csv", values, many.labels[1:], ","), many, tr=1.0)
    np.testing.assert_allclose(scan.fc[1:, 1:], np.corrcoef(values.T), atol=1e-9)


@pytest.mark.parametrize(
    ("tr", "error"), [("0.72", TypeError), (True, TypeError), ([0.7, 0.8], TypeError), (-5.0, ValueError)]
)
def test_a_tr_is_a_number_of_seconds(tr, error, connectome, series):
    for given in (series, np.corrcoef(series.T)):
        with pytest.raises(error, match=r"\btr=|TR of -5"):
            Scan.of(given, connectome, tr=tr)


def test_complex_numbers_are_no_scan(connectome, series):
    with pytest.raises(TypeError, match="scan"):
        Scan.of(series + 1j, connectome, tr=1.0)


def test_the_share_of_a_prior_is_told_by_halves(connectome):
    rng = np.random.default_rng(5)
    truth = np.linalg.cholesky(np.corrcoef(rng.normal(size=(N, 8))))
    long, other = (rng.normal(size=(n, N)) @ truth.T for n in (20_000, 60))
    fit = Scan.of(other, connectome, tr=1.0, name="short")
    true = Scan.of(np.corrcoef(long.T), connectome, name="truth")
    wrong = Scan.of(np.corrcoef(rng.normal(size=(N, 5))), connectome, name="noise")
    assert Data(connectome, (fit,), prior=true).share < 0.5 < Data(connectome, (fit,), prior=wrong).share
    data = Data(connectome, (fit,), prior=true)
    i, j = np.triu_indices(N, 1)
    np.testing.assert_allclose(data.target[i, j], data.share * fit.fc[i, j] + (1 - data.share) * true.fc[i, j])
    with pytest.raises(ValueError, match="it is connectivity alone: give its series, or several scans"):
        _ = Data(connectome, (true,), prior=wrong).share
