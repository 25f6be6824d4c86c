"""The review page as a person has it, in a real Chromium."""

import csv
import hashlib
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import srrs
from audits import hand_audit
from chromium import CONTROL, PROGRAM, SHIFT, chromium
from srrs.audit.apply import act, into_folder
from srrs.audit.decisions import read_decisions
from srrs.audit.journal import undo
from srrs.audit.plan import plan
from srrs.audit.report import jpeg

REQUIRED = os.environ.get("SRRS_TEST_BROWSER") == "required"
"""Set by continuous integration, which must not skip."""
pytestmark = pytest.mark.skipif(PROGRAM is None and not REQUIRED, reason="needs chromium on the PATH")
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
PHOTOS = Path(srrs.__file__).parent / "assets" / "photos" / "train"
CLASSES = ("cat", "dog", "fox")
STATUSES = ("noisy", "noisy", "ambiguous", "clean")
HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "'\"&\u2028<!--",
    "=cmd|' /C calc'!A0",
)
FLAGS = {
    1: "near-duplicate of a of b, c.jpg (labeled dark fox)",
    4: "trusted; dark",
    5: "dark; low information",
    8: "duplicate of 0001.jpg",
    11: "blurry",
}
"""Of some rows of twelve, with names that contain the words of other flags."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


def rows_of(n, classes=CLASSES):
    """Rows of lowest quality first; every second label is doubted."""
    return [
        {
            "id": f"{i:04}.jpg", "path": f"photos/{i:04}.jpg", "quality": i / n, "p_clean": i / n,
            "status": STATUSES[4 * i // n], "given": classes[i % len(classes)], "zero_shot": classes[0],
            "suggested": classes[(i + i % 2) % len(classes)], "suggested_confidence": 0.9, "macro": classes[0],
            "micro": classes[-1], "match": 0.5, "neighbors_agree": 0.2,
        }
        for i in range(n)
    ]  # fmt: skip


def page(folder, audit, photos=500):
    colors = np.random.default_rng(0).integers(0, 256, (len(audit), 3))
    thumbnails = [jpeg(Image.new("RGB", (120, 90), tuple(color))) for color in colors[:40].tolist()]
    return audit.report(folder / "report.html", thumbnail=lambda row: thumbnails[row % len(thumbnails)], photos=photos)


def opened(browser, folder, rows):
    """A tab in which nothing is decided yet, its first photo focused; closed in the end, without a complaint."""
    tab = browser.open(page(folder, hand_audit(rows, CLASSES)))
    tab.run("localStorage.clear()")
    tab.go(folder / "report.html")
    focus(tab)
    yield tab
    assert tab.errors() == []
    tab.call("Page.close")


@pytest.fixture
def tab(browser, tmp_path):
    """Twelve photos."""
    yield from opened(browser, tmp_path, rows_of(12))


@pytest.fixture
def flagged(browser, tmp_path):
    """The same with flags."""
    yield from opened(browser, tmp_path, [row | {"flags": FLAGS.get(at)} for at, row in enumerate(rows_of(12))])


def focus(tab):
    tab.run("document.querySelector('.tile').focus()")


def marks(tab):
    """What each photo on the page has decided, by its mark."""
    script = "[...document.querySelectorAll('.tile')].map((t) => t.querySelector('.stamp')?.textContent ?? '')"
    return tab.run(script)


def current(tab):
    """Row of the current photo, and whether it has the focus."""
    return tab.run(
        "[Number(document.querySelector('.tile.current').dataset.row),"
        " document.activeElement === document.querySelector('.tile.current')]"
    )


def test_keys_work_from_load(browser, tmp_path):
    tab = browser.open(page(tmp_path, hand_audit(rows_of(12), CLASSES)))
    tab.run("localStorage.clear()")
    tab.go(tmp_path / "report.html")
    assert tab.run("[document.activeElement === document.body, scrollY]") == [True, 0]
    tab.press("k", "a", "ArrowRight", "d")
    assert marks(tab)[:4] == ["=", "✓", "", "✕"]


def test_a_key_never_decides_on_an_image_that_is_out_of_sight(browser, tmp_path):
    tab = browser.open(page(tmp_path, hand_audit(rows_of(12), CLASSES)), size=(1280, 300))
    tab.run("localStorage.clear()")
    tab.go(tmp_path / "report.html")
    tab.press("k")
    assert tab.text("#progress") == "Nothing decided yet"
    assert tab.text("#live") == "The images are in sight now: press the key again."
    tab.press("k")
    assert marks(tab)[0] == "="


def test_what_is_suggested_already_or_unusable_has_nothing_to_accept(browser, tmp_path):
    rows = rows_of(3)
    rows[2] |= {"status": "unusable", "suggested": "dog", "issue": "truncated", "quality": None}
    tab = browser.open(page(tmp_path, hand_audit(rows, CLASSES)))
    tab.run("localStorage.clear()")
    focus(tab)
    expected = [(True, "No other class is suggested: k keeps the label."), (False, "Accepted as fox. 1 decided.")]
    for hidden, said in [*expected, (True, "This file could not be used: nothing is suggested.")]:
        assert tab.run("document.querySelector('#accept').hidden") == hidden
        tab.press("a")
        assert tab.text("#live") == said
        if hidden:
            tab.press("ArrowRight")
    assert "Truncated." in tab.texts("#why li")


def test_deciding_on_more_than_was_seen_asks_first(browser, tmp_path):
    tab = browser.open(page(tmp_path, hand_audit(rows_of(100), CLASSES)))
    tab.run("localStorage.clear()")
    focus(tab)
    tab.press("a", control=True)
    tab.press("d")
    assert tab.text("#sure-title") == "Drop 100 images?"
    assert re.fullmatch(r"You have not seen \d\d of them yet\.", tab.text("#sure-note"))
    tab.press("Escape")
    assert tab.text("#progress") == "Nothing decided yet"
    focus(tab)
    tab.press("d")
    tab.press("Enter")
    tab.wait("document.querySelector('#progress').textContent === '100 decided'")


def test_a_page_of_a_budget_counts_to_it(browser, tmp_path):
    audit = hand_audit(rows_of(12), CLASSES)
    path = audit.report(tmp_path / "report.html", thumbnail=lambda row: None, first=[5, 7, 1])
    tab = browser.open(path)
    tab.run("localStorage.clear()")
    tab.go(path)
    assert tab.text("#progress") == "0 of 3 decided"
    assert tab.text("#count") == "3 images shown"
    assert tab.texts("#scope option") == ["The 3 to look at", "All listed images"]
    tab.press("a", "d")
    assert tab.text("#progress") == "2 of 3 decided"
    filtered(tab, "#scope", "all")
    assert tab.text("#count") == "12 images shown"


@pytest.fixture
def filed(browser, tmp_path):
    """A page in one folder, its originals in another; previews of the first two alone are in the page."""
    rows = rows_of(4)
    for at, row in enumerate(rows):
        row["path"] = f"photos/a b#{at}.png"
        row["flags"] = {2: "near-duplicate of 0003.jpg (labeled cat)"}.get(at)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (900, 600), (60 * at, 0, 0)).save(tmp_path / row["path"])
    audit = hand_audit(rows, CLASSES)
    (tmp_path / "out").mkdir()
    tab = browser.open(audit.report(tmp_path / "out" / "report.html", root=tmp_path, photos=2))
    tab.run("localStorage.clear()")
    focus(tab)
    yield tab
    assert tab.errors() == []
    tab.call("Page.close")


def test_images_beyond_the_previews_are_shown_from_their_files(filed):
    loaded = "[...document.querySelectorAll('.tile img')].every((i) => i.complete && i.naturalWidth > 0)"
    filed.wait(loaded)
    sizes = filed.run("[...document.querySelectorAll('.tile img')].map((i) => [i.naturalWidth, i.src.slice(0, 5)])")
    assert sizes == [[256, "data:"], [256, "data:"], [900, "file:"], [900, "file:"]]


def test_an_original_can_be_opened_and_zoomed(filed, tmp_path):
    original = (tmp_path / "photos" / "a b#0.png").as_uri()
    assert filed.run("document.querySelector('#original').href") == original
    filed.press("z")
    filed.wait("document.querySelector('#lens img')?.naturalWidth === 900")
    fit = filed.run("document.querySelector('#lens img').getBoundingClientRect().height")
    filed.click("#lens-size")
    assert filed.run("document.querySelector('#lens img').getBoundingClientRect().width") == 900
    assert fit != 600
    filed.press("Escape", "ArrowRight", "ArrowRight")
    assert current(filed) == [2, True]


def test_a_duplicate_stands_beside_the_image(filed):
    assert filed.run("document.querySelector('#twins').hidden")
    filed.press("ArrowRight", "ArrowRight")
    filed.wait("document.querySelectorAll('#twin img').length === 2")
    assert filed.texts("#twin li") == ["this one: fox", "0003.jpg: cat"]


def test_on_a_phone_the_image_is_large_and_the_details_are_folded(browser, tmp_path):
    path = page(tmp_path, hand_audit(rows_of(12), CLASSES))
    for size, is_open in (((390, 844), False), ((1280, 900), True)):
        tab = browser.open(path, size=size)
        assert tab.run("document.querySelector('#more').open") == is_open
        assert tab.run("document.querySelector('#large').getBoundingClientRect().height") > 0.28 * size[1]
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")


def test_why_stands_above_the_neighbors(tab):
    assert tab.texts("#more h4")[:2] == ["Another class", "Why"]
    assert tab.texts("#more h4")[-1] == "Nearest trusted images"


def rows_in(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_keys_decide_go_on_and_undo(tab):
    tab.press("ArrowRight", "a", "k", "d", "3")
    assert marks(tab)[:6] == ["", "✓", "=", "✕", "✎", ""]
    assert current(tab) == [5, True]


def test_numbers_mean_the_same_class_where_there_are_few(tab):
    assert tab.texts("#others button") == ["1cat", "2dog", "3fox"]
    tab.press("2")
    assert marks(tab)[0] == "✎"
    assert tab.text("#live") == "Changed to dog. 1 decided."
    tab.press("ArrowLeft", "1")
    assert tab.text("#live") == "Kept as cat. 1 decided."
    tab.press("u", "u", "u")
    assert tab.text("#live") == "There is nothing to undo."
    assert marks(tab)[0] == ""


def test_undo_goes_back_to_the_photo(tab):
    tab.press("k", "d", "k")
    tab.press("z", control=True)
    assert current(tab) == [2, True]
    tab.press("u")
    assert current(tab) == [1, True]
    assert tab.text("#progress") == "1 decided"
    tab.press("ArrowLeft", "Backspace")
    assert tab.text("#progress") == "Nothing decided yet"


def test_arrows_go_along_and_across_the_rows_and_stop_at_the_ends(tab):
    tab.press("ArrowLeft")
    assert current(tab) == [0, True]
    tab.press("ArrowDown")
    wide = current(tab)[0]
    assert wide > 1
    tab.press("ArrowRight", "ArrowUp")
    assert current(tab) == [1, True]
    tab.press("End", "ArrowRight")
    assert current(tab) == [11, True]
    tab.press("Home")
    assert current(tab) == [0, True]


def test_a_selection_is_decided_at_once_and_undone_at_once(tab):
    tab.press("ArrowRight", "ArrowRight", "ArrowRight", shift=True)
    assert tab.text("#chosen").startswith("4 images selected")
    tab.press("d")
    assert marks(tab)[:5] == ["✕"] * 4 + [""]
    assert tab.text("#live") == "4 images: drop. 4 decided."
    tab.press("u")
    assert marks(tab) == [""] * 12
    tab.press("a", control=True)
    tab.press("k")
    assert tab.text("#progress") == "12 decided"
    assert tab.text("#chosen") == ""


def test_the_mouse_chooses_selects_and_decides(tab):
    tab.click(".tile:nth-child(3)")
    assert current(tab) == [2, True]
    tab.click("#keep")
    assert marks(tab)[2] == "="
    assert current(tab)[0] == 3
    tab.click(".tile:nth-child(6)", modifiers=CONTROL)
    tab.click(".tile:nth-child(8)", modifiers=SHIFT)
    assert tab.text("#chosen").startswith("3 images selected")
    tab.click("#drop")
    assert marks(tab)[5:8] == ["✕"] * 3
    tab.click("#others button:nth-child(3)")
    tab.click("#undo")
    tab.click("#restart")
    assert tab.text("#sure-title") == "Clear 4 decisions?"
    tab.click("#sure-yes")
    tab.wait("document.querySelector('#progress').textContent === 'Nothing decided yet'")
    tab.click("#undo")
    assert tab.text("#progress") == "4 decided"


def test_any_class_can_be_typed_and_a_new_one_too(tab):
    tab.press("c")
    tab.type("do")
    assert tab.texts("#choices li") == ["dog", "New class do"]
    tab.press("Enter")
    tab.press("c")
    tab.type("red panda")
    tab.press("Enter", "c")
    tab.type("a")
    tab.press("ArrowDown", "ArrowUp", "Escape")
    assert marks(tab)[:3] == ["✎", "✎", ""]
    assert tab.text("#live") == "Changed to red panda. 2 decided."
    assert current(tab) == [2, True]


def test_the_next_image_has_the_focus_at_once_when_a_class_was_chosen_before_any_click(tab):
    tab.run("document.activeElement.blur()")
    tab.press("c")
    tab.type("do")
    # one script, so no frame in which the browser itself takes the focus out of the closed dialog
    focused = tab.run("""(() => {
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
        return document.activeElement.dataset.row;
    })()""")
    assert focused == "1"


def test_letters_typed_into_a_field_decide_nothing(tab):
    tab.press("/")
    tab.type("dak")
    tab.press("d", "k", "1")
    assert tab.text("#progress") == "Nothing decided yet"
    assert tab.text("#empty") == "No image matches. Clear the filters to see all."


def shown(tab):
    """The rows on the page."""
    return tab.run("[...document.querySelectorAll('.tile')].map((t) => Number(t.dataset.row))")


def filtered(tab, selector, value):
    """The rows that are left once a field or menu has a value."""
    tab.run(
        f"document.querySelector({json.dumps(selector)}).value = {json.dumps(value)};"
        "document.querySelector('#filters').dispatchEvent(new Event('input'))"
    )
    return shown(tab)


def test_filters_leave_what_they_say(tab):
    assert filtered(tab, "#text", "0003 fox") == []
    assert filtered(tab, "#text", "0003 CAT") == [3]
    assert filtered(tab, "#text", "") == [*range(12)]
    assert filtered(tab, "#class", "2") == [1, 2, 5, 7, 8, 11]
    filtered(tab, "#class", "")
    assert tab.texts("#pair option")[1] == "cat → dog (2)"
    assert filtered(tab, "#pair", "0") == [3, 9]
    tab.click("[type=reset]")
    tab.wait("document.querySelectorAll('.tile').length === 12")
    tab.click("#statuses .chip:last-child")
    assert tab.text("#count") == "3 of 12 images shown"
    tab.click("#statuses .chip:last-child")
    assert filtered(tab, "#order", "given")[:4] == [0, 3, 6, 9]
    filtered(tab, "#order", "first")
    focus(tab)
    tab.press("k")
    assert filtered(tab, "#decision", "kept") == [0]
    assert filtered(tab, "#decision", "open") == [*range(1, 12)]


def test_the_menu_of_flags_has_the_kinds_that_occur_and_leaves_what_it_says(flagged):
    assert flagged.texts("#flag option") == [
        *("Flagged or not", "Any flag", "Blurry (1)", "Dark (2)", "Duplicate (1)", "Low information (1)"),
        *("Near-duplicate (1)", "Trusted (1)"),
    ]
    expected = {"any": [1, 4, 5, 8, 11], "dark": [4, 5], "duplicate": [8], "near-duplicate": [1], "trusted": [4]}
    assert {kind: filtered(flagged, "#flag", kind) for kind in expected} == expected
    assert flagged.text("#count") == "1 of 12 images shown"
    assert filtered(flagged, "#flag", "low information") == [5]
    assert flagged.texts(".tile .flag") == ["low information +1"]
    assert flagged.text("#flags") == "Dark; low information"
    filtered(flagged, "#flag", "any")
    assert filtered(flagged, "#class", "0") == [5, 11]
    flagged.click("[type=reset]")
    flagged.wait("document.querySelectorAll('.tile').length === 12")
    assert flagged.texts(".tile .flag") == ["near-duplicate", "trusted +1", "dark +1", "duplicate", "blurry"]


def test_the_menu_of_flags_is_reached_and_used_by_keys(flagged):
    flagged.run("document.querySelector('#pair').focus()")
    flagged.press("Tab")
    assert flagged.run("document.activeElement.id") == "flag"
    flagged.press("d")
    assert shown(flagged) == [4, 5]
    assert flagged.text("#progress") == "Nothing decided yet"


def test_a_flag_at_a_glance_shows_its_photos(flagged):
    filtered(flagged, "#text", "nothing like it")
    flagged.click("#flagged [data-flag=dark]")
    assert shown(flagged) == [4, 5]
    assert current(flagged) == [4, True]


def test_a_page_without_flags_has_no_menu_of_them(tab):
    assert tab.run("document.querySelector('#flag').hidden")


def test_what_is_decided_leaves_the_list_of_the_undecided_and_undo_brings_it_back(tab):
    tab.run("document.querySelector('#decision').value = 'open'")
    tab.run("document.querySelector('#filters').dispatchEvent(new Event('input'))")
    focus(tab)
    tab.press("k", "a", "k")
    assert current(tab) == [3, True]
    assert len(marks(tab)) == 9
    tab.press("u")
    assert current(tab) == [2, True]


def test_a_pair_shows_its_photos(tab):
    tab.click("#pairs button")
    assert shown(tab) == [3, 9]
    assert current(tab) == [3, True]


def test_labels_are_the_users_own_with_the_names_that_the_model_read(browser, tmp_path):
    audit = replace(hand_audit(rows_of(12), CLASSES), words=("cat", "hot dog", "red fox"))
    tab = browser.open(page(tmp_path, audit))
    tab.run("localStorage.clear()")
    tab.go(tmp_path / "report.html")
    tab.press("ArrowRight")
    assert tab.text("#question").startswith("dog (hot dog) should be →fox (red fox)")
    tab.press("a")
    decided = rows_in(tab.download("#download", tmp_path, "decisions.csv"))
    assert decided[1][2:] == ["dog", "accept", "fox"]


def test_the_panel_says_why(tab):
    tab.press("ArrowRight")
    assert tab.text("#question") == "dog should be →fox 90\u202f%"
    assert tab.texts("#why li") == [
        "The label dog is right with a chance of 8\u202f%.",
        "Zero-shot and macro see cat; micro sees fox.",
        "The matcher gives fox 50\u202f%.",
        "20\u202f% of the nearest images carry the given label.",
    ]
    assert tab.text("#path") == "photos/0001.jpg"
    assert tab.run("document.querySelector('#large img').naturalWidth") == 120


def test_progress_is_kept_in_the_browser_for_this_audit_alone(tab, browser, tmp_path):
    tab.press("k", "d")
    tab.go(tmp_path / "report.html")
    assert marks(tab)[:2] == ["=", "✕"]
    assert tab.text("#live") == "2 decisions from before are kept in this browser."
    (tmp_path / "other").mkdir()
    other = browser.open(page(tmp_path / "other", hand_audit(rows_of(11), CLASSES)))
    assert other.text("#progress") == "Nothing decided yet"


def test_two_windows_of_one_audit_show_the_same_decisions(tab, browser, tmp_path):
    other = browser.open(tmp_path / "report.html")
    focus(other)
    other.press("d")
    tab.wait("document.querySelector('#progress').textContent === '1 decided'")
    assert marks(tab)[:1] == marks(other)[:1] == ["✕"]


def test_a_browser_that_keeps_nothing_says_so(browser, tmp_path):
    tab = browser.open(page(tmp_path, hand_audit(rows_of(3), CLASSES)))
    tab.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } })",
    )
    tab.go(tmp_path / "report.html")
    focus(tab)
    tab.press("k")
    assert tab.text("#progress") == "1 decided"
    assert not tab.run("document.querySelector('#unkept').hidden")


def test_hostile_names_are_shown_decided_and_never_run(browser, tmp_path):
    ids = [*HOSTILE, "javascript:alert(1)", "\udc80.jpg", "a,b\n'=c.jpg", "__proto__"]
    rows = [
        {"id": name, "path": name, "given": HOSTILE[0], "suggested": HOSTILE[at % 4], "quality": at / 9}
        for at, name in enumerate(ids)
    ]
    audit = hand_audit(rows, HOSTILE)
    path = audit.report(tmp_path / "report.html", title=HOSTILE[1], thumbnail=lambda row: None)
    tab = browser.open(path)
    focus(tab)
    tab.press("k", "a", "a", "a", "k", "d", "2")
    tab.press("c")
    tab.type("<b>new</b>")
    tab.press("Enter")
    assert tab.run("document.title") == HOSTILE[1]
    assert tab.run("[document.scripts.length, document.querySelectorAll('main b').length]") == [2, 0]
    sources = tab.run("[...document.querySelectorAll('img')].map((i) => i.src)")
    assert all(source.startswith("file:") for source in sources)
    assert tab.texts(".tile:nth-child(2) .new") == [HOSTILE[1]]
    file = tab.download("#download", tmp_path, "decisions.csv")
    decisions = read_decisions(file, audit, new_classes=True)
    labels = [HOSTILE[0], *HOSTILE[1:4], HOSTILE[0], None, HOSTILE[1], "<b>new</b>"]
    assert {id: decision.label for id, decision in decisions.items()} == dict(zip(ids, labels, strict=True))
    assert not [cell for row in rows_in(file) for cell in row if cell.startswith(("=", "+", "-", "@"))]
    tab.run(
        """document.body.append(Object.assign(document.createElement("script"), { text: "document.title = 'in'" }))"""
    )
    assert tab.run("document.title") == HOSTILE[1]
    assert "Content Security Policy" in " ".join(tab.errors())


@pytest.mark.parametrize(("size", "dark"), [((1280, 900), False), ((1280, 900), True), ((390, 844), False)])
def test_an_accessibility_checker_finds_nothing_serious(browser, tmp_path, size, dark):
    if not AXE.exists() and not REQUIRED:
        pytest.skip("needs axe-core: npm install --prefix tests/audit")
    rows = rows_of(70, tuple(f"class {i}" for i in range(12)))
    rows[3]["status"], rows[4]["status"], rows[4]["quality"] = "outside", "unusable", np.nan
    rows = [row | {"flags": FLAGS.get(at)} for at, row in enumerate(rows)]
    tab = browser.open(page(tmp_path, hand_audit(rows, [f"class {i}" for i in range(12)]), 60), size=size, dark=dark)
    tab.run("localStorage.clear()")
    tab.run(AXE.read_text("utf-8") + "; 0")
    focus(tab)
    tab.press("a", "k", "d", "1")
    tab.press("ArrowRight", shift=True)
    found = []
    for dialog in ("", "?", "c"):
        if dialog:
            tab.press(dialog)
        broken = tab.run(
            "axe.run().then((r) => r.violations.map((v) => [v.impact, v.id, v.nodes.map((n) => n.html).slice(0, 3)]))"
        )
        found += [finding for finding in broken if finding[0] in ("serious", "critical")]
        tab.press("Escape")
    assert found == []
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")


def nodes_touched(tab, keys):
    """How many nodes each key adds, takes away or changes."""
    tab.run("""(() => {
        const size = (nodes) => [...nodes].reduce((n, node) => n + 1 + (node.querySelectorAll?.("*").length ?? 0), 0);
        const changed = (record) =>
            record.type === "childList" ? size(record.addedNodes) + size(record.removedNodes) : 1;
        window.touched = [];
        addEventListener("keydown", () => touched.push(0), true); // before the page answers
        new MutationObserver((records) => (touched[touched.length - 1] += records.map(changed).reduce((a, b) => a + b)))
            .observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    })()""")
    focus(tab)
    tab.press(*keys)
    return tab.run("touched")


def test_a_key_does_as_much_among_four_thousand_photos_as_among_five_hundred(browser, tmp_path):
    keys = ["a", "ArrowRight", "k", "ArrowDown", "d", "1", "u", "x", "PageDown", "Backspace"]
    touched = {}
    for count in (500, 4000):
        path = page(tmp_path, hand_audit(rows_of(count), CLASSES))
        assert path.stat().st_size < 4_000_000
        tab = browser.open(path)
        assert len(shown(tab)) == 36
        touched[count] = nodes_touched(tab, keys)
    assert touched[4000] == touched[500]
    assert all(touched[500]), touched


def digests(folder):
    """Class folder of every photo, by its content."""
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path.parent.name for path in folder.glob("*/*.jpg")}


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mislabeled(folder):
    """The demo's photos with a third of them in the folder of another class; the class each shows, by its id."""
    rng = np.random.default_rng(1)
    classes = sorted(path.name for path in PHOTOS.iterdir())
    shows = {}
    for path in sorted(PHOTOS.glob("*/*.jpg")):
        given = rng.choice(classes) if rng.random() < 0.34 else path.parent.name
        name = f"{given}/{path.parent.name[:2]}-{path.name}"
        (folder / given).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
        shows[name] = path.parent.name.replace("_", " ")
    return shows


def test_a_person_reviews_fifty_photos_and_exactly_that_is_applied_and_undone(browser, tmp_path):
    photos = tmp_path / "photos"
    shows = mislabeled(photos)
    before, folder_before = contents(photos), digests(photos)
    rng = np.random.default_rng(2)
    classes = sorted(set(shows.values()))
    guess = {id: seen if rng.random() < 0.8 else str(rng.choice(classes)) for id, seen in shows.items()}
    given = {id: id.split("/")[0].replace("_", " ") for id in shows}
    rows = [
        {
            "id": id, "path": str(photos / id), "given": given[id], "suggested": guess[id], "suggested_confidence": 0.9,
            "macro": guess[id], "micro": str(rng.choice(classes)), "zero_shot": seen,
            "quality": rng.random() / 2 + (given[id] == guess[id]) / 2,
        }
        for id, seen in shows.items()
    ]  # fmt: skip
    audit = hand_audit(rows, classes)
    tab = browser.open(audit.report(tmp_path / "report.html", photos=60))
    ids = tab.run("JSON.parse(document.getElementById('data').textContent).columns.id")
    focus(tab)
    wanted = {}
    for number in range(50):
        id = ids[current(tab)[0]]
        others = [text[1:] for text in tab.texts("#others button")]
        wanted[id] = shows[id]
        if number % 10 == 9:
            wanted[id] = None
            tab.press("d")
        elif guess[id] == shows[id] != given[id]:
            tab.press("a")
        elif given[id] == shows[id]:
            tab.press("k")
        elif shows[id] in others:
            tab.press(str(others.index(shows[id]) + 1))
        else:
            tab.press("c")
            tab.type(shows[id])
            tab.press("Enter")
    file = tab.download("#download", tmp_path, "decisions.csv")
    decisions = read_decisions(file, audit)
    assert {id: decision.label for id, decision in decisions.items()} == wanted
    assert {row[3] for row in rows_in(file)[1:]} == {"accept", "keep", "drop", "relabel"}

    act(into_folder(plan(audit, decisions), tmp_path / "cleaned", tmp_path / "copy.json"), tmp_path / "copy.json")
    expected = dict(folder_before)
    for id, label in wanted.items():
        digest = hashlib.sha256(before[Path(id)]).hexdigest()
        if label is None:
            del expected[digest]
        else:
            expected[digest] = label.replace(" ", "_")
    assert digests(tmp_path / "cleaned") == expected
    assert expected != folder_before
    assert contents(photos) == before

    act(into_folder(plan(audit, decisions), photos, tmp_path / "undo.json", in_place=True), tmp_path / "undo.json")
    assert digests(photos) == expected
    undo(tmp_path / "undo.json")
    assert contents(photos) == before
