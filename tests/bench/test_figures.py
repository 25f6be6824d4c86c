import itertools
import random
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from bench.runs import record, write_run
from srrs.bench.canvas import save
from srrs.bench.figures import GROUPS, accuracy_figure, histogram_figure, noise_figure
from srrs.bench.records import read_records
from srrs.bench.table import table
from srrs.errors import DataError, SettingsError

HOSTILE = ("$\\frac{a$", "_hidden", "a & b <i>")


def grid(methods=("coop", "srrs"), kinds=("sym", "pair"), rates=(0.0, 0.25, 0.5), seeds=(1, 2), **values):
    generator = np.random.default_rng(0)
    return [
        record(
            generator.random(50) < 0.5 + 0.1 * m,
            **{"method": method, "noise_kind": kind, "noise_rate": rate, "noise_given": rate, "seed": seed} | values,
        )
        for (m, method), kind, rate, seed in itertools.product(enumerate(methods), kinds, rates, seeds)
    ]


def shown(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


@pytest.fixture
def folders(tmp_path):
    """Two seeds of two methods at two rates; only srrs rectifies, and one history is cut off."""
    for i, run in enumerate(grid(kinds=("sym",), rates=(0.25, 0.5))):
        if run.method == "coop":
            run = record(run.right, method="coop", seed=run.seed, noise_rate=run.noise_rate, noise_rectified=0.5)
        history = [{"step": step, "noise_rectified": run.noise_given * 10 / step / run.seed} for step in (10, 20)]
        scores = np.linspace(0, 1, 101).tolist()
        partition = {"thresholds": [[0.3, 0.6]], "p_clean": scores, "loss": scores}
        write_run(tmp_path / str(i), run, history, partition)
    with (tmp_path / "7" / "history.jsonl").open("a") as file:
        file.write('{"step": 30, "noi')
    return tmp_path


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_runs_in_any_order_give_the_same_bytes(tmp_path, suffix):
    runs = grid()
    first = save(accuracy_figure(runs), tmp_path / f"a.{suffix}").read_bytes()
    random.Random(0).shuffle(runs)
    assert save(accuracy_figure(runs), tmp_path / f"b.{suffix}").read_bytes() == first
    assert b"<dc:date>" not in first
    assert b"matplotlib.org" not in first


def test_the_lines_are_the_table(tmp_path):
    runs = grid()
    frame = table(runs, metrics=["accuracy"])
    figure = accuracy_figure(runs)
    assert [axes.get_title(loc="left").splitlines()[-1] for axes in figure.axes] == ["symmetric noise", "pair noise"]
    for axes, kind in zip(figure.axes, ("sym", "pair"), strict=True):
        for line, method in zip(axes.lines, ("coop", "srrs"), strict=True):
            part = frame[(frame["noise_kind"] == kind) & (frame["row"] == method)]
            np.testing.assert_allclose(line.get_xydata(), 100 * part[["noise_rate", "mean"]])
        for band, method in zip(axes.collections, ("coop", "srrs"), strict=True):
            part = frame[(frame["noise_kind"] == kind) & (frame["row"] == method)]
            heights = band.get_paths()[0].vertices[:, 1]
            assert heights.min() == pytest.approx(100 * part["low"].min())
            assert heights.max() == pytest.approx(100 * part["high"].max())


def test_runs_without_noise_stand_in_every_panel():
    runs = grid(kinds=("sym",), rates=(0.0, 0.5)) + grid(kinds=("pair",), rates=(0.5,))
    for axes in accuracy_figure(runs).axes:
        assert all(line.get_xdata().tolist() == [0, 50] for line in axes.lines)


def test_runs_with_no_noise_but_none_are_drawn():
    (axes,) = accuracy_figure(grid(kinds=("sym",), rates=(0.0,))).axes
    assert axes.lines[0].get_xdata().tolist() == [0]


def test_each_table_is_a_row_of_panels_of_its_kinds():
    figure = accuracy_figure(grid() + grid(kinds=("pair",), shots=4))
    titles = [axes.get_title(loc="left").split("\n") for axes in shown(figure)]
    assert [title[-1] for title in titles] == ["pair noise", "symmetric noise", "pair noise"]
    assert ["4 shots" in titles[0][0], "16 shots" in titles[1][0], len(titles[2])] == [True, True, 1]


def test_twenty_one_lines_can_be_told_apart():
    figure = accuracy_figure(grid(methods=[f"m{k:02}" for k in range(21)], kinds=("sym",), rates=(0.0, 0.5)))
    styles = {(line.get_color(), line.get_linestyle(), str(line._dash_pattern)) for line in figure.axes[0].lines}
    assert len(styles) == 21


def test_another_metric_is_drawn_in_its_own_unit():
    (axes,) = accuracy_figure(grid(kinds=("sym",), rates=(0.25, 0.5)), "auroc").axes
    assert axes.get_ylabel() == "AUROC of the audit"
    assert axes.lines[0].get_ydata().tolist() == [0.9, 0.9]


def test_names_are_shown_as_they_are(tmp_path):
    figure = accuracy_figure(grid(methods=HOSTILE, rates=(0.5,), dataset="$x$_{"))
    assert sorted(text.get_text() for text in figure.legends[0].get_texts()) == sorted(HOSTILE)
    save(figure, tmp_path / "a.png")


def test_an_svg_is_whole_and_a_png_opens(tmp_path):
    figure = accuracy_figure(grid())
    assert ElementTree.parse(save(figure, tmp_path / "a.svg")).getroot().tag.endswith("svg")
    with Image.open(save(figure, tmp_path / "deep" / "a.PNG")) as picture:
        assert picture.width > 1000
        assert "Software" not in picture.info


def test_another_suffix_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match=r"a figure as \.svg or \.png, but found a\.pdf"):
        save(accuracy_figure(grid()), tmp_path / "a.pdf")


def test_without_a_rate_nothing_can_be_drawn_against_it():
    with pytest.raises(DataError, match="runs with a noise rate and a figure for accuracy"):
        accuracy_figure([record(noise_rate=None)])


def test_noise_over_training_is_the_mean_of_the_histories(folders):
    figure = noise_figure(read_records([folders]))
    (axes,) = figure.axes
    assert axes.get_title(loc="left").splitlines()[-1] == "srrs, symmetric noise"
    curves = [line for line in axes.lines if line.get_marker() == "o"]
    dashed = [line.get_ydata()[0] for line in axes.lines if line.get_marker() != "o"]
    assert [line.get_xdata().tolist() for line in curves] == [[10, 20], [10, 20]]
    np.testing.assert_allclose([line.get_ydata() for line in curves], [[18.75, 9.375], [37.5, 18.75]])
    assert dashed == [25, 50]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["25 % given", "50 % given"]
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] > 50


def test_runs_whose_noise_nobody_knows_have_no_figure_of_it(tmp_path):
    write_run(tmp_path / "a", record(noise_given=None, noise_rectified=None), [{"step": 1, "noise_rectified": None}])
    with pytest.raises(DataError, match="a method that rectifies labels, but found none"):
        noise_figure(read_records([tmp_path]))


def test_without_histories_there_is_no_figure_of_noise():
    found = read_records([])._replace(records=grid())
    with pytest.raises(DataError, match=r"run folders with history\.jsonl of a method that rectifies"):
        noise_figure(found)


def bars(axes):
    """Height of every bar, by its color."""
    groups = {color: group for group, color in GROUPS.items()}
    heights = {}
    for part in axes.containers:
        group = groups[to_hex(part[0].get_facecolor()).upper()]
        heights[group] = np.array([bar.get_height() for bar in part])
    return heights


def test_the_histogram_counts_every_score_and_marks_the_thresholds(folders):
    figure = histogram_figure(read_records([folders]))
    assert [axes.get_title(loc="left").split("\n")[-1] for axes in figure.axes] == ["sym:0.25", "sym:0.5"]
    for axes in figure.axes:
        heights = bars(axes)
        assert {group: np.flatnonzero(bar).tolist() for group, bar in heights.items()} == {
            "noisy": list(range(9)),
            "ambiguous": list(range(9, 18)),
            "clean": list(range(18, 30)),
            "outside": [],
        }
        assert sum(heights.values()).tolist() == np.histogram(np.linspace(0, 1, 101), 30)[0].tolist()
        assert [line.get_xdata()[0] for line in axes.lines] == [0.3, 0.6]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["clean", "ambiguous", "noisy"]


def test_the_histogram_shows_the_groups_of_the_run_and_no_threshold_that_does_not_part_them(tmp_path):
    partition = {"thresholds": [[0.3, 0.6]], "p_clean": [0.1, 0.2, 0.5, 0.9, 0.9]}
    for i, statuses in enumerate((["noisy", "noisy", "ambiguous", "clean", "clean"], ["clean"] * 3 + ["outside"] * 2)):
        folder = write_run(tmp_path / str(i), record(noise_rate=0.25 * i), partition=partition)
        lines = [f"{k}.jpg,0,{status}\n" for k, status in enumerate(statuses)]
        (folder / "samples.csv").write_text("path,label,status\n" + "".join(lines))
    parted, other = histogram_figure(read_records([tmp_path])).axes
    assert (len(parted.lines), len(other.lines)) == (2, 0)
    assert {group: bar.sum() for group, bar in bars(other).items()} == {
        "clean": 3, "ambiguous": 0, "noisy": 0, "outside": 2
    }  # fmt: skip


def test_a_screening_loss_is_clean_where_it_is_low_and_classes_have_thresholds_of_their_own(tmp_path):
    partition = {"score": "loss", "thresholds": [[0.2, 0.4], [0.4, 0.6]], "p_clean": [0.5], "loss": [0.0, 0.1, 1.5]}
    write_run(tmp_path / "a", record(), partition=partition)
    (axes,) = histogram_figure(read_records([tmp_path])).axes
    assert bars(axes)["clean"].sum() == 2
    assert bars(axes)["noisy"].sum() == 1
    assert [line.get_xdata()[0] for line in axes.lines] == pytest.approx([0.3, 0.5])
    assert axes.get_xlabel() == "screening loss"


@pytest.mark.parametrize("partition", [None, [], {"thresholds": [[0.1, 0.2]]}, {"p_clean": [0.1], "thresholds": [1]}])
def test_without_a_usable_partition_there_is_no_histogram(tmp_path, partition):
    write_run(tmp_path / "a", record(), partition=partition)
    with pytest.raises(DataError, match=r"run folders of srrs with partition\.json, but found none"):
        histogram_figure(read_records([tmp_path]))


def test_a_run_without_one_threshold_is_drawn_by_its_groups(tmp_path):
    partition = {"score": "p_clean", "thresholds": [], "p_clean": [0.1, 0.9]}
    folder = write_run(tmp_path / "a", record(), partition=partition)
    with pytest.raises(DataError, match=r"run folders of srrs with partition\.json, but found none"):
        histogram_figure(read_records([tmp_path]))  # nothing says how they were parted
    (folder / "samples.csv").write_text("path,label,status\na.jpg,0,clean\nb.jpg,0,noisy\n")
    (axes,) = histogram_figure(read_records([tmp_path])).axes
    assert {group: bar.sum() for group, bar in bars(axes).items() if bar.any()} == {"clean": 1, "noisy": 1}
    assert len(axes.lines) == 0
