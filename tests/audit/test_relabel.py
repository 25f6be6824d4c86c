import pandas as pd
import pytest

from audits import hand_audit
from srrs.audit import journal, relabel
from srrs.audit.decisions import Decision
from srrs.audit.journal import undo
from srrs.audit.plan import plan
from srrs.audit.relabel import relabel_in_place, write_table
from srrs.errors import DataError, MissingExtraError

CSV = (
    'file;code;"note, of mine";split\r\nimg/a.jpg;c01;"=1;2";train\r\nimg/b.jpg;c02;;train\r\n'
    "img/c.jpg;c01;x;val\r\nimg/d.jpg;;y;val\r\n"
)
DECISIONS = {"img/a.jpg": Decision("accept", "dog"), "img/b.jpg": Decision("drop", None)}


@pytest.fixture
def audit():
    rows = [
        {"id": "img/a.jpg", "path": "base/img/a.jpg", "given": "cat"},
        {"id": "img/b.jpg", "path": "base/img/b.jpg", "given": "dog"},
        {"id": "img/c.jpg", "path": "base/img/c.jpg", "given": "cat"},
        {"id": "img/d.jpg", "path": "base/img/d.jpg", "status": "unusable", "issue": "no label"},
    ]
    return hand_audit(rows, ("cat", "dog"))


@pytest.fixture
def source(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbf" + CSV.encode())
    return tmp_path / "labels.csv"


def test_a_new_table_has_the_new_labels_and_only_the_rows_that_stay(audit, tmp_path):
    write_table(plan(audit, DECISIONS), tmp_path / "new.csv")
    assert (tmp_path / "new.csv").read_text() == (
        "id,path,label\nimg/a.jpg,base/img/a.jpg,dog\nimg/c.jpg,base/img/c.jpg,cat\n"
    )


def test_every_row_can_stay_with_what_became_of_it(audit, tmp_path):
    table = pd.read_csv(write_table(plan(audit, DECISIONS), tmp_path / "new.tsv", every_row=True), sep="\t")
    assert table.action.tolist() == ["relabel", "drop", "keep", "unusable"]
    assert table.label.tolist()[:3] == ["dog", "dog", "cat"]


def test_the_other_columns_of_the_users_table_are_kept_as_they_are_written(audit, source, tmp_path):
    write_table(plan(audit, DECISIONS), tmp_path / "new.csv", source=source)
    expected = 'file;code;note, of mine;split\r\nimg/a.jpg;c02;"=1;2";train\r\nimg/c.jpg;c01;x;val\r\n'
    assert (tmp_path / "new.csv").read_bytes() == b"\xef\xbb\xbf" + expected.encode()
    assert source.read_bytes() == b"\xef\xbb\xbf" + CSV.encode()


def test_the_suffix_says_how_a_table_of_another_kind_is_written(audit, source, tmp_path):
    text = write_table(plan(audit, DECISIONS), tmp_path / "new.tsv", source=source).read_text("utf-8-sig")
    assert text.splitlines()[1] == "img/a.jpg\tc02\t=1;2\ttrain"


def test_a_new_class_is_written_as_it_is_called(audit, source, tmp_path):
    table = write_table(plan(audit, {"img/a.jpg": Decision("relabel", "fox")}), tmp_path / "new.csv", source=source)
    assert "img/a.jpg;fox;" in table.read_text("utf-8-sig")


def test_in_place_changes_only_labels_and_undo_restores_every_byte(audit, source, tmp_path):
    before = source.read_bytes()
    relabel_in_place(plan(audit, DECISIONS), source, tmp_path / "undo.json")
    lines = source.read_text("utf-8-sig").splitlines()
    assert lines[1:] == ['img/a.jpg;c02;"=1;2";train', "img/c.jpg;c01;x;val", "img/d.jpg;;y;val"]
    assert (tmp_path / "labels.csv.before").read_bytes() == before
    undo(tmp_path / "undo.json")
    assert source.read_bytes() == before
    assert not (tmp_path / "labels.csv.before").exists()


@pytest.mark.parametrize("cut", ["labels.csv.before", "labels.csv", "undo.json"])
def test_a_table_cut_short_can_be_finished(audit, source, tmp_path, monkeypatch, cut):
    before, written = source.read_bytes(), journal.write_atomic
    seen = []

    def stumbling(path, content):
        seen.append(str(path))
        if str(path).endswith(cut) and (cut != "undo.json" or len(seen) > 1):
            raise KeyboardInterrupt
        return written(path, content)

    monkeypatch.setattr(journal, "write_atomic", stumbling)
    with pytest.raises(KeyboardInterrupt):
        relabel_in_place(plan(audit, DECISIONS), source, tmp_path / "undo.json")
    monkeypatch.setattr(journal, "write_atomic", written)
    relabel_in_place(plan(audit, DECISIONS), source, tmp_path / "undo.json")
    assert "img/a.jpg;c02;" in source.read_text("utf-8-sig")
    undo(tmp_path / "undo.json")
    assert source.read_bytes() == before


def test_a_table_changed_since_is_left_alone(audit, source, tmp_path):
    relabel_in_place(plan(audit, DECISIONS), source, tmp_path / "undo.json")
    source.write_text("mine")
    with pytest.raises(DataError, match=r"changed or removed since: \S+labels.csv. They were left alone"):
        undo(tmp_path / "undo.json")
    assert source.read_text() == "mine"


def test_parquet_keeps_its_kinds(audit, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"path": [f"img/{n}.jpg" for n in "abcd"], "label": [0, 1, 0, -1], "score": [0.5, 1, 2, 3]})
    frame.to_parquet(tmp_path / "old.parquet")
    new = write_table(
        plan(audit, {"img/a.jpg": Decision("accept", "dog")}), tmp_path / "new.parquet", source=tmp_path / "old.parquet"
    )
    table = pd.read_parquet(new)
    assert table.label.tolist() == [1, 1, 0]
    assert table.dtypes.astype(str).to_dict() == {**frame.dtypes.astype(str).to_dict()}


def test_parquet_without_its_package_says_what_to_install(audit, tmp_path, monkeypatch):
    monkeypatch.setattr(relabel.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"A parquet table needs the package pyarrow: pip install 'srrs\[parquet\]'"
    ):
        write_table(plan(audit, {}), tmp_path / "new.parquet")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("path,label\nimg/a.jpg,x\n", None, "Expected the 4 rows of the audit in .*, but found 1"),
        ("path,label\nimg/b.jpg,x\nimg/a.jpg,x\nimg/c.jpg,x\nimg/d.jpg,\n", None, "row 1 is not 'img/a.jpg'"),
        ("path,label\nimg/a.jpg,x\nimg/b.jpg,x\nimg/c.jpg,x\nimg/d.jpg,\n", None, "but none does. Name the column"),
        (
            "path,no,label\nimg/a.jpg,1,x\nimg/b.jpg,2,y\nimg/c.jpg,1,x\nimg/d.jpg,,\n",
            None,
            "but no and label do. Name the column of labels with --label",
        ),
        (
            "path,label\nimg/a.jpg,x\nimg/b.jpg,y\nimg/c.jpg,x\nimg/d.jpg,\n",
            "tag",
            r"the label \(tag\) in .* found the columns path, label\. Name it with --label \(label_column=\), or",
        ),
        ("path,path\nimg/a.jpg,x\n", None, "Expected different column names"),
        ('path,label\nimg/a.jpg,"x\n', None, "malformed"),
    ],
)
def test_a_table_that_is_not_the_audits_is_refused(audit, tmp_path, text, column, message):
    (tmp_path / "old.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        write_table(plan(audit, DECISIONS), tmp_path / "n.csv", source=tmp_path / "old.csv", label_column=column)
    assert not (tmp_path / "n.csv").exists()


def test_a_dry_run_finds_what_is_wrong_and_writes_nothing(audit, source, tmp_path):
    before = source.read_bytes()
    write_table(plan(audit, DECISIONS), tmp_path / "new.csv", source=source, dry=True)
    relabel_in_place(plan(audit, DECISIONS), source, tmp_path / "undo.json", dry=True)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]
    assert source.read_bytes() == before
    with pytest.raises(DataError, match="Give another name"):
        write_table(plan(audit, DECISIONS), source, dry=True)


def test_nothing_that_is_there_is_overwritten(audit, source, tmp_path):
    with pytest.raises(DataError, match=r"is there. Give another name, or --in-place"):
        write_table(plan(audit, DECISIONS), source)
    (tmp_path / "labels.csv.before").write_text("mine")
    with pytest.raises(DataError, match=r"labels.csv.before, but something is there. Move it away"):
        relabel_in_place(plan(audit, DECISIONS), source, tmp_path / "undo.json")
