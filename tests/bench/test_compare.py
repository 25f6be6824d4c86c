import io

import pandas as pd
import pytest

from bench.runs import record
from srrs.bench.anchors import Anchor
from srrs.bench.compare import compare, render_comparison
from srrs.errors import DataError, SettingsError


def anchor(method="SRRS", accuracy=0.9, **values):
    usual = {"dataset": "Caltech101", "classes": 100, "protocol": "fp-injection", "noise_kind": "sym"}
    usual |= {"noise_rate": 0.5, "backbone": "RN50", "shots": 16, "source": "Someone (2025), Table 1"}
    return Anchor(**usual | {"method": method, "accuracy": accuracy} | values)


def run(correct=(1, 1, 1, 0), **values):
    return record(correct, **{"model": "open_clip:RN50:openai", "as_published": True} | values)


RUNS = [run(seed=1), run((1, 1, 0, 0), seed=2), run(method="zero-shot"), run(noise_rate=0.0)]
ANCHORS = [anchor(), anchor("JoAPR", 0.8), anchor("SRRS", 0.7, noise_rate=0.75), anchor("SRRS", 0.6, dataset="DTD")]
TEXT = """\
caltech101, 100 classes, 16 shots, fp-injection, as published, model open_clip:RN50:openai, 4 test images
accuracy, %; ours: mean ± sample standard deviation over seeds

method           sym:0  sym:0.5
---------------  -----  -----------
srrs             75.0   62.5 ± 17.7
published SRRS   –      90.0
difference       –      −27.5
zero-shot        –      75.0
published JoAPR  –      80.0

- noise without a published number: sym:0
- methods without a published number: zero-shot
- source: Someone (2025), Table 1
"""
APART = """\
**caltech101, 100 classes, 16 shots, fp-injection, model bundled, 4 test images**

accuracy, %; ours: mean ± sample standard deviation over seeds

| method | sym:0.5 |
| --- | ---: |
| srrs | 75.0 |

**published, another backbone**

accuracy, %

| method | sym:0.5 |
| --- | ---: |
| SRRS | 90.0 |
| JoAPR | 80.0 |

- backbone: ours is bundled, the published one RN50
- source: Someone (2025), Table 1
"""


def test_ours_stand_beside_the_published_ones_where_all_agrees():
    assert render_comparison(compare(RUNS, ANCHORS)) == TEXT


def test_the_numbers_of_another_backbone_stand_apart():
    found = compare([record((1, 1, 1, 0))], ANCHORS)
    assert render_comparison(found, "markdown") == APART
    assert found.table["difference"].isna().all()
    assert found.table["apart"].tolist() == ["", "another backbone", "another backbone"]


def test_the_difference_is_ours_minus_theirs():
    table = compare(RUNS, ANCHORS).table
    row = table[(table["row"] == "srrs") & (table["noise_rate"] == 0.5)].iloc[0]
    assert (row["ours"], row["published"], row["published_as"], row["n"]) == (0.625, 0.9, "SRRS", 2)
    assert row["difference"] == pytest.approx(-0.275)


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        ({"dataset": "dogs"}, "data set: there are no published numbers for dogs"),
        (
            {"protocol": "label-flip"},
            "protocol: ours is label-flip, the published numbers are only for fp-injection; not shown",
        ),
        ({"classes": 20}, "number of classes: ours is 20, the published one 100"),
        ({"shots": 4}, "number of shots: ours is 4, the published one 16"),
        ({"shots": None}, "number of shots: ours is all, the published one 16"),
        (
            {"as_published": False},
            "lists: ours are drawn without the faults of the published generator (see --as-published)",
        ),
    ],
)
def test_each_way_in_which_they_do_not_match_is_a_line(change, remark):
    (remarks,) = compare([run(**change)], ANCHORS).remarks.values()
    assert remarks == [remark]


@pytest.mark.parametrize("change", [{"dataset": "dogs"}, {"protocol": "label-flip"}])
def test_numbers_of_another_data_set_or_protocol_are_never_shown(change):
    assert compare([run(**change)], ANCHORS).table["published"].isna().all()


def test_several_differences_are_all_named():
    found = compare([record(shots=4, classes=20)], ANCHORS)
    assert set(found.table["apart"]) == {"", "another backbone, another number of classes, another number of shots"}
    assert len(next(iter(found.remarks.values()))) == 3


def test_of_several_backbones_the_nearest_is_compared():
    published = [anchor("SRRS", 0.5, backbone="ViT-B/16", shots=4), *ANCHORS, anchor("SRRS", 0.6, backbone="ViT-B/16")]
    assert compare(RUNS, published).table.equals(compare(RUNS, ANCHORS).table)


def test_a_method_with_parts_replaced_is_not_the_published_one():
    table = compare([run(method="srrs-paper(rescreen=accept_all)"), run(method="srrs-paper")], ANCHORS).table
    assert table.groupby("row")["published"].sum()["srrs-paper"] == 0.9
    assert table.groupby("row")["published"].sum()["srrs-paper(rescreen=accept_all)"] == 0


def test_both_of_ours_that_go_by_a_name_are_compared():
    table = compare([run(method="srrs-paper"), run()], ANCHORS).table
    assert table[table["published_as"] == "SRRS"]["row"].tolist() == ["srrs", "srrs-paper"]


def test_what_comes_with_the_package_is_used_where_nothing_is_given():
    table = compare([run((1,) * 3 + (0,), noise_kind="pair", noise_rate=0.75)]).table
    assert table[table["row"] == "srrs"]["published"].tolist() == [pytest.approx(0.8888)]
    assert set(table["published_as"]) == {"CoOp", "Robust UPL", "JoAPR", "JoAPR*", "SRRS"}


def test_csv_holds_the_numbers_alone():
    found = compare(RUNS, ANCHORS)
    back = pd.read_csv(io.StringIO(render_comparison(found, "csv")))
    assert list(back.columns) == list(found.table.columns)
    assert len(back) == len(found.table)


def test_latex_keeps_the_remarks_as_comments():
    shown = render_comparison(compare(RUNS, ANCHORS), "latex")
    assert "% noise without a published number: sym:0\n" in shown
    assert r"published SRRS & -- & 90.0 \\" in shown


def test_no_runs_and_other_formats_are_errors():
    with pytest.raises(DataError, match="at least one finished run"):
        compare([], ANCHORS)
    with pytest.raises(SettingsError, match="a format of text, markdown, latex or csv"):
        render_comparison(compare(RUNS, ANCHORS), "html")
