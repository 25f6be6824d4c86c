import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.runs import classified, record
from srrs.bench.records import AuditScores
from srrs.bench.table import COLUMNS, METRICS, against_best, paired, table
from srrs.core.metrics import macro_f1, paired_bootstrap, resample, resample_macro_f1
from srrs.errors import DataError, SettingsError


def random_runs(methods=("coop", "gce", "srrs"), seeds=(1, 2, 3), photographs=200, rates=(0.25, 0.5)):
    """Photographs differ in how hard they are, so that methods agree on many of them."""
    generator = np.random.default_rng(0)
    hard = generator.random(photographs)
    return [
        record(
            hard + generator.normal(0, 0.1, photographs) < 0.4 + 0.1 * k - 0.2 * rate,
            method=method,
            seed=seed,
            noise_rate=rate,
            seconds=float(generator.random()),
            macro_f1=float(generator.random()),
            noise_rectified=float(generator.random()),
            audit=AuditScores(float(generator.random()) if seed > 1 else None, None, 0.5, 0.5),
        )
        for k, method in enumerate(methods)
        for rate in rates
        for seed in seeds
    ]


RUNS = random_runs()


def test_a_table_worked_by_hand():
    runs = [record((1, 1, 1, 0), seed=1), record((1, 1, 0, 0), seed=2), record((1, 0, 0, 0), seed=3, seconds=3.5)]
    frame = table(runs).set_index("metric")
    assert (frame["n"] == 3).all()
    assert frame.loc["accuracy", "mean"] == 0.5
    assert frame.loc["accuracy", "spread"] == pytest.approx(0.25)
    assert frame.loc["seconds", "mean"] == pytest.approx(28.5 / 3)
    assert frame.loc["noise_estimate", "mean"] == 0.45
    assert frame.loc["auroc", "spread"] == 0
    assert list(frame.index) == list(METRICS)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "seconds", "noise_rectified"])
def test_mean_spread_and_count_are_those_of_pandas(metric):
    flat = pd.DataFrame([{"row": r.method, "noise_rate": r.noise_rate, "x": getattr(r, metric)} for r in RUNS])
    wanted = flat.groupby(["row", "noise_rate"])["x"].agg(["mean", "std", "count"])
    found = table(RUNS, metrics=[metric]).set_index(["row", "noise_rate"])[["mean", "spread", "n"]]
    np.testing.assert_allclose(found.sort_index(), wanted.sort_index(), rtol=1e-12)


def test_figures_that_some_runs_lack_are_means_of_the_others():
    frame = table(RUNS, metrics=["auroc", "average_precision"]).set_index(["metric", "row", "noise_rate"])
    some, none = frame.loc[("auroc", "srrs", 0.5)], frame.loc[("average_precision", "srrs", 0.5)]
    have = [r.audit.auroc for r in RUNS if r.method == "srrs" and r.noise_rate == 0.5 and r.seed > 1]
    assert (some["n"], none["n"]) == (2, 0)
    assert some["mean"] == pytest.approx(sum(have) / 2)
    assert math.isnan(none["mean"])
    assert not none["best"]


def test_where_nobody_knows_the_noise_its_figures_are_empty():
    frame = table([record(noise_given=None, noise_rectified=None, noise_estimate=None)]).set_index("metric")
    assert (frame.loc[["noise_given", "noise_rectified", "noise_estimate"], "n"] == 0).all()


def test_one_run_has_no_spread_and_no_rival():
    (row,) = table([record()], metrics=["accuracy"]).itertuples()
    assert math.isnan(row.spread)
    assert (row.n, row.best, row.tied) == (1, False, False)


def test_the_columns_tell_everything_about_the_runs():
    frame = table([record(needs=("noise rate", "clean validation"))], metrics=["accuracy"])
    assert tuple(frame.columns) == COLUMNS
    row = frame.iloc[0]
    assert (row["dataset"], row["shots"], row["noise_kind"], row["noise_rate"]) == ("caltech101", 16, "sym", 0.5)
    assert row["needs"] == "noise rate, clean validation"


@settings(max_examples=10, deadline=None)
@given(st.permutations(RUNS))
def test_the_order_of_the_records_does_not_change_the_table(runs):
    pd.testing.assert_frame_equal(table(runs, metrics=["accuracy", "ece"]), table(RUNS, metrics=["accuracy", "ece"]))


def test_an_unknown_metric_is_an_error():
    with pytest.raises(SettingsError, match="no metric acuracy; there are accuracy, macro_f1"):
        table(RUNS, metrics=["acuracy"])


def test_with_one_run_the_bootstrap_is_binomial():
    correct = np.arange(400)[None] < 280
    means = resample(correct, np.random.default_rng(0), 40000)
    quantiles = (0.01, 0.1, 0.5, 0.9, 0.99)
    np.testing.assert_allclose(np.quantile(means, quantiles), stats.binom(400, 0.7).ppf(quantiles) / 400, atol=0.003)


def test_the_bootstrap_over_runs_and_photographs_is_that_of_a_plain_loop():
    values = np.stack([r.right for r in RUNS if r.method == "srrs" and r.noise_rate == 0.5]).astype(int)
    values -= np.stack([r.right for r in RUNS if r.method == "coop" and r.noise_rate == 0.5])
    assert set(np.unique(values)) == {-1, 0, 1}
    generator = np.random.default_rng(1)
    runs, photographs = values.shape
    plain = [
        values[np.ix_(generator.integers(runs, size=runs), generator.integers(photographs, size=photographs))].mean()
        for _ in range(8000)
    ]
    ours = resample(values, np.random.default_rng(2), 8000)
    assert stats.ks_2samp(plain, ours).pvalue > 0.01
    assert ours.std() == pytest.approx(np.std(plain), rel=0.04)


def test_the_interval_repeats_with_its_seed_and_moves_with_another():
    bounds = [table(RUNS, metrics=["accuracy"], seed=seed)[["low", "high"]] for seed in (0, 0, 1)]
    assert bounds[0].equals(bounds[1])
    assert not bounds[0].equals(bounds[2])


def predictions(seeds=(1, 2, 3), images=300, classes=6, methods=("a", "b", "c")):
    """Runs of methods that predict 60, 60 and 40 % of the images right; the classes differ in size."""
    generator = np.random.default_rng(0)
    truth = np.sort(generator.choice(classes, images, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2)))
    rates = dict(zip("abc", (0.6, 0.6, 0.4), strict=True))
    return [
        classified(
            np.where(generator.random(images) < rates[m], truth, generator.integers(0, classes, images)), truth,
            method=m, seed=seed,
        )
        for m in methods for seed in seeds
    ]  # fmt: skip


def test_the_intervals_of_accuracy_and_macro_f1_hold_the_mean_and_others_have_none():
    frame = table(predictions())
    resampled = frame["metric"].isin(["accuracy", "macro_f1"])
    held = frame[resampled]
    assert ((held["low"] < held["mean"]) & (held["mean"] < held["high"])).all()
    assert frame.loc[~resampled, ["low", "high"]].isna().all(axis=None)


def test_macro_f1_has_no_interval_and_no_tie_without_predicted_classes():
    frame = table(RUNS, metrics=["macro_f1"])
    assert frame[["low", "high"]].isna().all(axis=None)
    assert not frame["tied"].any()
    mixed = table([*predictions(seeds=(1, 2)), *[replace(r, predicted="", truth="") for r in predictions((3,))]])
    assert mixed.loc[mixed["metric"] == "macro_f1", "low"].isna().all()


def test_the_bootstrap_of_macro_f1_is_that_of_a_plain_loop():
    runs = predictions(images=120, methods="a")
    guessed = np.stack([run.test_classes.predicted for run in runs])
    truth = runs[0].test_classes.truth
    generator = np.random.default_rng(1)
    plain = []
    for _ in range(500):
        images = generator.integers(len(truth), size=len(truth))
        scores = [macro_f1(guessed[run][images], truth[images]) for run in generator.integers(3, size=3)]
        plain.append(np.mean(scores))
    ours = resample_macro_f1(guessed, truth, np.random.default_rng(2), 2000)
    assert stats.ks_2samp(plain, ours).pvalue > 0.01
    assert ours.std() == pytest.approx(np.std(plain), rel=0.1)


def test_macro_f1_marks_what_cannot_be_told_from_the_best():
    frame = table(predictions(), metrics=["macro_f1"]).set_index("row")
    best = frame["mean"].idxmax()
    assert best in "ab"
    assert {best} == set(frame.index[frame["best"]])
    assert frame["tied"].to_dict() == {"a": best == "b", "b": best == "a", "c": False}


def test_paired_differences_of_macro_f1_are_narrower_than_unpaired_ones():
    """Two methods that predict nearly the same differ by little in every draw."""
    one = predictions(seeds=(1,), methods="a")[0]
    guessed = one.test_classes.predicted.copy()
    wrong = np.flatnonzero(guessed != one.test_classes.truth)[:3]
    guessed[wrong] = one.test_classes.truth[wrong]
    other = classified(guessed, one.test_classes.truth, method="b")
    row = paired([one, other], "b", metrics=["macro_f1"]).iloc[0]
    assert row["ours"] - row["theirs"] == pytest.approx(row["mean"])
    assert 0 <= row["low"] < row["mean"] < row["high"]
    alone = table([other], metrics=["macro_f1"]).iloc[0]
    assert row["high"] - row["low"] < (alone["high"] - alone["low"]) / 2


def test_the_best_is_marked_and_what_cannot_be_told_from_it():
    generator = np.random.default_rng(0)
    best = generator.random(400) < 0.7
    close = best.copy()
    close[np.flatnonzero(best)[:2]] = False
    close[np.flatnonzero(~best)[:1]] = True
    runs = [
        record(best, method="a"),
        record(close, method="b"),
        record(best & (generator.random(400) < 0.8), method="c"),
    ]
    frame = table(runs, metrics=["accuracy"]).set_index("row")
    assert frame["best"].tolist() == [True, False, False]
    assert frame["tied"].tolist() == [False, True, False]


def test_low_is_best_where_low_is_better_and_nothing_is_where_all_are_equal():
    runs = [record(method="a", ece=0.2), record(method="b", ece=0.1), record(method="c", ece=0.1)]
    frame = table(runs).set_index(["metric", "row"])
    assert frame.loc["ece", "best"].tolist() == [False, True, True]
    assert not frame.drop(index="ece", level=0)["best"].any()
    assert not frame["tied"].any()


def test_cells_without_a_rate_are_compared_as_well():
    runs = [record((1, 1, 0), method="a", noise_rate=None), record((1, 0, 0), method="b", noise_rate=None)]
    frame = table(runs, metrics=["accuracy"])
    assert frame["noise_rate"].isna().all()
    assert frame["best"].tolist() == [True, False]


def test_differences_are_those_of_the_paired_bootstrap_over_common_seeds():
    runs = [r for r in RUNS if (r.method, r.seed) != ("gce", 2)]
    frame = paired(runs, "srrs", metrics=["accuracy"]).set_index(["other", "noise_rate"])
    assert sorted(frame.index) == [("coop", 0.25), ("coop", 0.5), ("gce", 0.25), ("gce", 0.5)]

    def bits(method):
        return np.stack([r.right for r in runs if (r.method, r.noise_rate) == (method, 0.5) and r.seed != 2])

    row = frame.loc[("gce", 0.5)]
    wanted = paired_bootstrap(bits("srrs"), bits("gce"), 0)
    assert tuple(row[["mean", "low", "high"]]) == pytest.approx(wanted)
    assert row["n"] == 2
    assert row["ours"] - row["theirs"] == pytest.approx(row["mean"])


def test_what_shares_no_seed_or_cell_with_ours_is_left_out():
    runs = [
        record(seed=1),
        record(method="a", seed=2),
        record(method="b", noise_kind="pair"),
        record(method="c", shots=4),
    ]
    with pytest.raises(DataError, match="another method with the noise and the seeds of srrs, but found none"):
        paired(runs)


def test_ours_must_have_run():
    with pytest.raises(DataError, match="Expected runs of srrs-paper, but found only coop, gce, srrs"):
        paired(RUNS, "srrs-paper")


def test_an_unknown_metric_has_no_differences():
    with pytest.raises(SettingsError, match="Expected metrics of accuracy, macro_f1, but found ece"):
        paired(RUNS, metrics=["ece"])


def test_against_the_best_is_one_line_per_cell():
    frame = pd.DataFrame(
        [
            ("t", "accuracy", "sym", 0.5, "a", 0.50, -0.005, -0.010, -0.001),  # the interval excludes 0
            ("t", "accuracy", "sym", 0.5, "b", 0.40, 0.095, 0.05, 0.15),
            ("t", "accuracy", "pair", 0.5, "a", 0.50, -0.020, -0.05, 0.01),
            ("t", "macro_f1", "pair", 0.5, "b", 0.50, -0.008, -0.02, -0.01),
            ("u", "accuracy", "human", np.nan, "a", 0.50, 0.01, 0.001, 0.02),
        ],
        columns=["table", "metric", "noise_kind", "noise_rate", "other", "theirs", "mean", "low", "high"],
    )
    assert against_best(frame)["other"].tolist() == ["a", "a", "b", "a"]
