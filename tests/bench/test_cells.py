import pytest

from bench.runs import record
from srrs.bench.cells import cell_name, cells, noise_order
from srrs.errors import DataError, SettingsError


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "dtd"},
        {"classes": 50},
        {"model": "openai/clip-vit-base-patch32"},
        {"protocol": "label-flip"},
        {"as_published": True},
        {"shots": None},
        {"correct": (1, 0, 0)},
    ],
)
def test_what_is_not_comparable_is_another_table(change):
    first, second = cells([record(), record(**change)])
    assert first.table != second.table
    assert first.row == second.row == "srrs"


def test_runs_that_differ_in_the_seed_are_one_cell_sorted_by_it():
    (cell,) = cells([record(seed=3), record(seed=1), record(seed=2)])
    assert [run.seed for run in cell.runs] == [1, 2, 3]
    assert cell.name == "sym:0.5"
    assert cell.seeds == {1, 2, 3}


def test_the_bits_of_a_cell_are_those_of_its_seeds_in_order():
    (cell,) = cells([record((1, 0, 1), seed=2), record((1, 1, 1), seed=1), record((0, 0, 0), seed=3)])
    assert cell.correct().astype(int).tolist() == [[1, 1, 1], [1, 0, 1], [0, 0, 0]]
    assert cell.correct({1, 3}).astype(int).tolist() == [[1, 1, 1], [0, 0, 0]]


def test_other_settings_are_another_row_named_by_what_differs():
    runs = [record(settings={"steps": steps, "views": 8, "seed": 1, "device": "cpu"}) for steps in (100, 200)]
    runs += [record(method="coop", settings={"steps": 100, "views": 8})]
    assert [cell.row for cell in cells(runs)] == ["coop", "srrs [steps=100]", "srrs [steps=200]"]


def test_seed_device_and_settings_that_only_newer_runs_know_make_no_row():
    runs = [
        record(seed=1, settings={"steps": 100, "seed": 1, "device": "cpu"}),
        record(seed=2, settings={"steps": 100, "seed": 2, "device": "cuda", "new": True}),
    ]
    assert [cell.row for cell in cells(runs)] == ["srrs"]


def test_two_runs_of_one_seed_are_an_error_and_not_a_choice():
    runs = [record(macro_f1=0.4), record(macro_f1=0.5)]
    with pytest.raises(
        DataError, match=r"one run of srrs at sym:0.5 with seed 1 \(caltech101, .*\), but found two"
    ) as e:
        cells(runs)
    assert all(run.digest in str(e.value) for run in runs)


def test_models_stand_in_one_table_where_that_is_asked_for():
    both = cells([record(model="b"), record(model="a")], by=("model", "method"))
    assert [cell.row for cell in both] == ["srrs [model=a]", "srrs [model=b]"]
    assert both[0].table == both[1].table
    assert "model" not in both[0].table


@pytest.mark.parametrize("by", [("model",), ("method", "seed")])
def test_rows_by_what_cannot_be_one_are_an_error(by):
    with pytest.raises(SettingsError, match="Expected rows by method and any of dataset, classes"):
        cells([record()], by=by)


def test_methods_are_chosen_and_ordered():
    runs = [record(method=name) for name in ("coop", "gce", "srrs", "zero-shot")]
    assert [cell.row for cell in cells(runs)] == ["coop", "gce", "srrs", "zero-shot"]
    assert [cell.row for cell in cells(runs, methods=("srrs", "coop"))] == ["srrs", "coop"]


def test_no_run_at_all_is_an_error():
    with pytest.raises(DataError, match="at least one finished run of joapr"):
        cells([record()], methods=["joapr"])
    with pytest.raises(DataError, match=r"at least one finished run\.$"):
        cells([])


def test_noise_comes_in_the_usual_order():
    noise = [("pair", 0.0), ("open", 0.5), ("human", None), ("sym", 0.75), ("sym", 0.0), ("pair", 0.25)]
    names = [cell_name(*at) for at in sorted(noise, key=lambda at: noise_order(*at))]
    assert names == ["sym:0", "sym:0.75", "pair:0", "pair:0.25", "human", "open:0.5"]


def test_the_title_names_everything_that_agrees():
    (cell,) = cells([record(as_published=True, shots=None)])
    assert cell.table == (
        "caltech101, 100 classes, all images, fp-injection, as published, model bundled, 4 test images"
    )
