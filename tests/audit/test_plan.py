import io

import pytest
from rich.console import Console

from audits import hand_audit
from srrs.audit.decisions import Decision
from srrs.audit.plan import plan
from srrs.audit.table import Finding
from srrs.errors import DataError


@pytest.fixture
def small():
    rows = [
        {"id": "a", "given": "wolf", "suggested": "husky", "suggested_confidence": 0.95},
        {"id": "b", "given": "wolf", "suggested": "husky", "suggested_confidence": 0.8},
        {"id": "c", "given": "wolf", "suggested": "husky", "suggested_confidence": 0.99, "status": "ambiguous"},
        {"id": "d", "given": "wolf", "suggested": "wolf", "suggested_confidence": 0.99},
        {"id": "e", "given": "husky", "status": "unusable", "issue": "truncated"},
    ]
    return hand_audit(rows, ("husky", "wolf"))


def test_decisions_alone_count_where_there_are_any(small):
    decisions = {"b": Decision("drop", None), "d": Decision("relabel", "husky"), "e": Decision("keep", "husky")}
    table = plan(small, decisions).table.set_index("id")
    assert table.action.to_dict() == {"a": "keep", "b": "drop", "c": "keep", "d": "relabel", "e": "keep"}
    assert table.label.to_dict() == {"a": "wolf", "b": None, "c": "wolf", "d": "husky", "e": "husky"}
    assert table.by.to_dict() == {"a": None, "b": "decision", "c": None, "d": "decision", "e": "decision"}
    assert (plan(small, {}).table.action != "relabel").all()


def test_without_decisions_sure_suggestions_for_noisy_labels_are_taken(small):
    assert plan(small).table.action.tolist() == ["relabel", "keep", "keep", "keep", "unusable"]
    assert plan(small, confidence=0.7).table.action.tolist() == ["relabel", "relabel", "keep", "keep", "unusable"]
    assert plan(small).table.by.tolist() == ["suggestion", *[None] * 4]


def test_the_plan_tells_itself_in_words_and_never_as_markup(small):
    audit = hand_audit(
        [{"id": "[red]\x1b[0m", "given": "a", "suggested": "[b]", "suggested_confidence": 1.0}], ("a", "[b]")
    )
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(plan(audit))
    said = console.file.getvalue()
    assert "relabel" in said
    assert "[red]\ufffd[0m" in said
    assert "[b]" in said
    assert plan(small).lines() == [
        "5 images: 1 relabeled, 0 dropped, 3 kept, 1 unusable",
        "the audit's own suggestions, reviewed by nobody: 1",
    ]


def test_a_long_plan_is_cut_with_its_rest_counted():
    rows = [{"id": f"{i}", "given": "a", "suggested": "b", "suggested_confidence": 1.0} for i in range(30)]
    console = Console(file=io.StringIO(), width=100)
    console.print(plan(hand_audit(rows, ("a", "b"))))
    assert "and 10 more" in console.file.getvalue()


def test_the_digest_changes_with_what_would_be_done(small):
    assert plan(small).digest == plan(small).digest
    assert len({plan(small).digest, plan(small, {}).digest, plan(small, {"a": Decision("drop", None)}).digest}) == 3
    assert plan(small).to_dict()["counts"] == {"relabel": 1, "drop": 0, "keep": 3, "unusable": 1}


def test_decisions_an_audit_was_made_with_count_beside_later_ones():
    rows = [
        {"id": "a", "given": "wolf", "suggested": "husky", "status": "clean", "flags": "trusted"},
        {"id": "b", "given": "wolf", "suggested": "husky", "status": "noisy", "suggested_confidence": 1.0},
    ]
    audit = hand_audit(rows, ("wolf", "husky"))
    later = plan(audit, {"b": Decision("keep", "wolf")}).table
    assert list(zip(later.action, later.label, later.by, strict=True)) == [
        ("relabel", "husky", "decision"),
        ("keep", "wolf", "decision"),
    ]
    assert plan(audit, {"a": Decision("drop", None)}).table.action.tolist() == ["drop", "keep"]


def test_an_audit_that_does_not_trust_itself_needs_decisions():
    rows = [{"id": "a", "given": "cat", "suggested": "dog", "suggested_confidence": 1.0}]
    said = (Finding("info", "Fine."), Finding("warning", "Two sources of evidence disagree."))
    audit = hand_audit(rows, ("cat", "dog"), trusted=False, findings=said)
    message = r"does not trust its own suggestions .* Two sources of evidence disagree\. Review the page"
    with pytest.raises(DataError, match=message):
        plan(audit)
    assert plan(audit, {}).counts()["keep"] == 1
    assert plan(hand_audit(rows, ("cat", "dog"))).counts()["relabel"] == 1


def test_duplicates_and_unreadable_files_are_dropped_on_request_alone():
    rows = [
        {"id": "a", "given": "cat", "flags": "duplicate of b; dark"},
        {"id": "b", "given": "cat", "flags": "trusted; duplicate of a", "suggested": "cat"},
        {"id": "c", "given": "cat", "flags": "duplicate of a"},
        {"id": "d", "given": "dog", "flags": "duplicate of a (labeled cat)"},
        {"id": "e", "given": "cat", "flags": "near-duplicate of a"},
        {"id": "f", "given": "cat", "flags": "duplicate of test image a"},
        {"id": "g", "status": "unusable", "issue": "truncated"},
        {"id": "h", "status": "unusable", "issue": "missing file"},
        {"id": "i", "status": "unusable", "issue": "no label", "flags": "duplicate of a"},
    ]
    audit = hand_audit(rows, ("cat", "dog"))

    def dropped(**options):
        table = plan(audit, {}, **options).table
        return table.id[table.action == "drop"].tolist()

    assert dropped() == []
    assert dropped(drop=("duplicates",)) == ["c"]  # b was decided on, d has another label
    assert dropped(drop=("unusable",)) == ["g"]
    assert dropped(drop=("duplicates", "unusable")) == ["c", "g"]
    assert "dropped on request: 2" in plan(audit, {}, drop=("duplicates", "unusable")).lines()[-1]
    with pytest.raises(DataError, match="Expected duplicates or unusable to be dropped, but found 'dark'"):
        dropped(drop=("dark",))
