import io

import pandas as pd
import pytest

from bench.runs import record
from srrs.bench.render import number, render, render_differences
from srrs.bench.table import paired, table
from srrs.errors import SettingsError

RUNS = [
    record((1, 1, 1, 0), seed=1),
    record((1, 1, 0, 0), seed=2),
    record((1, 1, 1, 1), seed=1, noise_rate=0.75),
    record((0, 0, 0, 0), method="joapr*", seed=1, needs=("noise rate",)),
    record((1, 0, 0, 0), method="joapr*", seed=2, needs=("noise rate",)),
]
TEXT = """\
caltech101, 100 classes, 16 shots, fp-injection, model bundled, 4 test images
accuracy, %; mean ± sample standard deviation over 2 seeds; ≈: not significantly different from the best (paired bootstrap, 95 %); *: best

method  must be told  sym:0.5        sym:0.75
------  ------------  -------------  -----------
joapr*  noise rate    12.5 ± 17.7 ≈  –
srrs                  62.5 ± 17.7 *  100.0 (n 1)
"""  # noqa: E501
MARKDOWN = """\
**caltech101, 100 classes, 16 shots, fp-injection, model bundled, 4 test images**

accuracy, %; mean ± sample standard deviation over 2 seeds; ≈: not significantly different from the best (paired bootstrap, 95 %)

| method | must be told | sym:0.5 | sym:0.75 |
| --- | --- | ---: | ---: |
| joapr\\* | noise rate | 12.5 ± 17.7 ≈ | – |
| srrs |  | **62.5 ± 17.7** | 100.0 (n 1) |
"""  # noqa: E501
LATEX = r"""\begin{table}
\caption{caltech101, 100 classes, 16 shots, fp-injection, model bundled, 4 test images. accuracy, \%; mean $\pm$ sample standard deviation over 2 seeds; $\approx$: not significantly different from the best (paired bootstrap, 95 \%)}
\begin{tabular}{llrr}
\toprule
method & must be told & sym:0.5 & sym:0.75 \\
\midrule
joapr* & noise rate & 12.5 $\pm$ 17.7 $\approx$ & -- \\
srrs &  & \textbf{62.5 $\pm$ 17.7} & 100.0 (n 1) \\
\bottomrule
\end{tabular}
\end{table}
"""  # noqa: E501


DIFFERENCES = """\
| noise | best other method | seeds | ours | other | difference |
| --- | --- | ---: | ---: | ---: | ---: |
| sym:0.5 | coop | 1 | 0.0 | **100.0** | −100.0 [−100.0, −100.0] |
| sym:0.75 | gce | 2 | **100.0** | 50.0 | +50.0 [+0.0, +100.0] |
"""


def test_differences_name_the_best_other_method_of_each_cell():
    runs = [
        record((1, 1), seed=1, noise_rate=0.75),
        record((1, 1), seed=2, noise_rate=0.75),
        record((1, 0), seed=1, noise_rate=0.75, method="gce"),
        record((1, 0), seed=2, noise_rate=0.75, method="gce"),
        record((0, 0), seed=2, noise_rate=0.75, method="coop"),
        record((0, 0)),
        record((1, 1), method="coop"),
        record((1, 0), method="gce"),
    ]
    frame = paired(runs, metrics=["accuracy"])
    assert DIFFERENCES in render_differences(frame, "markdown")
    assert "accuracy, %; difference from the best other method; [paired 95 % boo" in render_differences(frame)
    every = pd.read_csv(io.StringIO(render_differences(frame, "csv")))
    assert every["other"].tolist() == frame["other"].tolist() == ["coop", "coop", "gce", "gce"]
    with pytest.raises(SettingsError, match="Expected a format of text, markdown, latex or csv, but found 'pdf'"):
        render_differences(frame, "pdf")


def test_the_macro_f1_of_old_records_has_a_difference_without_an_interval():
    text = render_differences(paired([record(macro_f1=0.5), record(method="gce", macro_f1=0.4)]))
    assert "macro-F1" in text
    assert text.splitlines()[-1].split() == ["sym:0.5", "gce", "1", "50.0", "*", "40.0", "+10.0"]


@pytest.mark.parametrize(("format", "wanted"), [("text", TEXT), ("markdown", MARKDOWN), ("latex", LATEX)])
def test_a_small_table_looks_like_this(format, wanted):
    assert render(table(RUNS, metrics=["accuracy"]), format) == wanted


def test_csv_reads_back_as_the_whole_table():
    frame = table(RUNS)
    back = pd.read_csv(io.StringIO(render(frame, "csv")), keep_default_na=False, na_values={"mean": "", "spread": ""})
    assert list(back.columns) == list(frame.columns)
    assert back["metric"].tolist() == frame["metric"].tolist()
    pd.testing.assert_series_equal(back["mean"], frame["mean"], rtol=1e-8)


def test_every_table_and_metric_is_shown_by_itself():
    runs = [record(), record(shots=4), record(dataset="dtd")]
    text = render(table(runs, metrics=["accuracy", "auroc"]))
    assert text.count("AUROC of the audit; one seed") == 3
    assert text.count("accuracy, %; one seed") == 3
    assert text.index("4 shots") < text.index("16 shots") < text.index("dtd")


def test_the_kinds_part_where_the_columns_are_many():
    runs = [record(noise_kind=kind, noise_rate=k / 8) for kind in ("pair", "sym") for k in range(6)]
    text = render(table(runs, metrics=["accuracy"]))
    head = [line.split() for line in text.splitlines() if line.startswith("method")]
    assert head == [["method", *(f"{kind}:{k / 8:g}" for k in range(6))] for kind in ("sym", "pair")]


def test_a_method_without_runs_of_a_kind_is_not_in_its_part():
    runs = [record(noise_kind=kind, noise_rate=k / 8) for kind in ("pair", "sym") for k in range(6)]
    text = render(table([*runs, record(method="coop")], metrics=["accuracy"]))
    assert [line.split()[0] for line in text.splitlines() if line.startswith(("coop", "srrs"))] == [
        "coop",
        "srrs",
        "srrs",
    ]


def test_intervals_are_shown_where_asked_for():
    frame = table([record((1, 0) * 50)], metrics=["accuracy", "auroc"])
    shown = render(frame, "markdown", intervals=True)
    low, high = frame.loc[0, ["low", "high"]]
    assert f"| srrs | 50.0 [{100 * low:.1f}, {100 * high:.1f}] |" in shown
    assert "[95 % bootstrap interval over images]" in shown
    assert "| srrs | 0.900 |" in shown


@pytest.mark.parametrize(
    ("format", "wanted"),
    [
        ("markdown", r"a\|b\_c\*\<i> [steps=\`1\`]"),
        ("latex", r"a|b\_c*$<$i$>$ [steps=`1`]"),
        ("text", "a|b_c*<i> [steps=`1`]"),
    ],
)
def test_names_are_never_read_as_markup(format, wanted):
    runs = [record(method="a|b_c*<i>", settings={"steps": steps}) for steps in ("`1`", "2")]
    assert wanted in render(table(runs, metrics=["accuracy"]), format)


def test_latex_escapes_what_it_would_read():
    shown = render(table([record(method=r"50%&$#{}~^\x")], metrics=["accuracy"]), "latex")
    assert r"50\%\&\$\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}x &" in shown


def test_another_format_is_an_error():
    with pytest.raises(SettingsError, match="a format of text, markdown, latex or csv, but found 'html'"):
        render(table([record()]), "html")


@pytest.mark.parametrize(
    ("value", "options", "wanted"),
    [
        (0.6126, {}, "61.3"),
        (-0.01, {"sign": "+"}, "−1.0"),
        (0.01, {"sign": "+"}, "+1.0"),
        (12.34, {"scale": 1}, "12.3"),
    ],
)
def test_numbers_are_written_alike(value, options, wanted):
    assert number(value, **options) == wanted
