import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from audits import audit_of
from srrs.audit import report
from srrs.audit.table import NUMBERS, Audit, Bands, Finding, Rows
from srrs.records import Group

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "'\"&\u2028<!--",
)


class Page(HTMLParser):
    """What a reader of the page needs to know of its markup."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.text = [], [], text
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    @property
    def data(self):
        return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', self.text, re.S)[1])


def page_of(audit, path, **options):
    return Page(audit.report(path / "report.html", **{"thumbnail": lambda row: None, **options}).read_text("utf-8"))


def hostile(rows):
    return replace(rows, class_names=HOSTILE, paths=(*HOSTILE, "javascript:alert(1)", "\udc80.jpg"))


def test_the_page_needs_nothing_from_outside_and_runs_only_its_own_script(audit, tmp_path):
    page = page_of(audit, tmp_path)
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    script, style = (re.search(rf"<{tag}>(.*?)</{tag}>", page.text, re.S)[1] for tag in ("script", "style"))
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert f"script-src 'sha256-{digests[0]}'" in policy
    assert f"style-src 'sha256-{digests[1]}'" in policy
    for tag, attrs in page.tags:
        assert not {"src", "style", "onclick", "onload"} & set(attrs), tag
        assert attrs.get("href", "#").startswith("#")
    assert "innerHTML" not in script


def test_the_page_has_its_landmarks_labels_and_unique_ids(audit, tmp_path):
    page = page_of(audit, tmp_path)
    tags = [tag for tag, _ in page.tags]
    assert {"header", "main", "footer", "h1"} <= set(tags)
    assert ("html", {"lang": "en"}) in page.tags
    assert len(page.ids) == len(set(page.ids))
    for _, attrs in page.tags:
        assert set(attrs.get("aria-labelledby", "").split()) <= set(page.ids)


def test_the_page_tells_summary_model_matcher_and_settings(audit, tmp_path):
    text = page_of(audit, tmp_path, title="Label audit of x/").text
    for words in (
        "Label audit of x/",
        "25\u202f%",
        "22\u202f%",
        "75\u202f%",
        "bundled",
        "<dt>Matcher</dt><dd>none</dd>",
        "versions.srrs",
    ):
        assert words in text


def test_the_gallery_is_sorted_by_quality_with_unusable_rows_last(audit, tmp_path):
    columns = page_of(audit, tmp_path).data["columns"]
    assert columns["id"] == ["b", "d", "c", "a", "bad"]
    assert columns["quality"] == [0.1, 0.2, 0.5, 0.9, None]
    assert columns["given"] == [0, 1, 2, 0, 1]
    assert columns["issue"][-1] == "truncated image file"


def picture(color="red", side=300):
    return report.jpeg(Image.new("RGB", (side, side), color))


def test_photos_are_cut_to_the_worst_and_the_page_says_so(audit, tmp_path):
    asked = []
    table = audit.table.assign(path=[f"x/{id}.jpg" for id in audit.table.id])
    audit = replace(audit, table=table)
    page = page_of(
        audit, tmp_path, photos=2, rows=4, root=tmp_path, thumbnail=lambda row: asked.append(row) or picture()
    )
    assert sorted(asked) == [0, 2, 4]  # the two of lowest quality, and the one clean photo that is their neighbor
    photos = [Image.open(io.BytesIO(base64.b64decode(photo))) for photo in page.data["columns"]["photo"]]
    assert [photo.size for photo in photos] == [(256, 256)] * 2
    assert len(page.data["columns"]["id"]) == 4
    assert "The page lists 4 of 5 images; the audit table has the rest." in page.text
    assert page.data["columns"]["link"][0] == "x/b.jpg"


def test_rows_named_first_come_first_and_the_page_says_so(audit):
    page = Page(report.render(audit, title="", thumbnail=lambda row: None, photos=9, rows=4, first=[3, 0]))
    assert page.data["columns"]["id"] == ["c", "a", "b", "d"]
    assert "The 2 images most worth a look come first. The page lists 4 of 5 images" in page.text
    assert "Look at the first 2 images below." in page.text
    assert "Most worth a look first" in page.text
    assert page.data["budget"] == 2


def test_what_the_audit_says_of_itself_stands_at_the_top_warnings_first(audit, tmp_path):
    assert 'id="findings"' not in page_of(audit, tmp_path).text
    said = [Finding("info", f"Note {at}.") for at in range(3)] + [Finding("warning", "<b>Two sources</b> disagree.")]
    page = page_of(replace(audit, findings=tuple(said)), tmp_path)
    top = page.text[page.text.index('id="findings"') : page.text.index('id="review"')]
    shown, folded = top.split("<summary>3 notes on this audit</summary>")
    assert '<p class="finding warning"><strong>Warning:</strong> &lt;b&gt;Two sources&lt;/b&gt; disagree.' in shown
    assert re.findall(r'<p class="finding info">(.*?)</p>', folded) == ["Note 0.", "Note 1.", "Note 2."]


def test_notes_and_files_that_could_not_be_used_stand_in_page_and_json(audit, tmp_path):
    audit = audit.with_notes(["2 hidden files were left out.", "2 hidden files were left out."])
    assert audit.with_notes(["2 hidden files were left out."]).findings == audit.findings
    page = page_of(audit, tmp_path)
    assert "2 hidden files were left out." in page.text
    assert "1 image could not be used: 1 truncated image file." in page.text
    content = json.loads(audit.to_json(tmp_path / "audit.json").read_text())
    assert content["findings"] == [{"level": "info", "text": "2 hidden files were left out."}]
    assert Audit.from_json(tmp_path / "audit.json").findings == audit.findings


def test_one_story_is_told_of_the_wrong_labels(audit, tmp_path):
    page = page_of(audit, tmp_path)
    top = page.text[page.text.index('class="lead"') : page.text.index('id="issues"')]
    lead = re.sub(r"\s+", " ", re.sub("<.*?>", "", top))
    assert "estimates that 25 % of 4 labels are wrong (likely 22 % to 29 %). It suggests another class" in lead
    assert "for 1 image, most often wolf → husky (1&nbsp;image)." in lead
    assert page.text.count("25\u202f%") == 1


def test_hostile_names_stay_data(rows, last_round, tmp_path):
    audit = audit_of(hostile(rows), last_round, {"model": HOSTILE[0]})
    page = page_of(audit, tmp_path, title=HOSTILE[1])
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert "img" not in [tag for tag, _ in page.tags]
    assert page.data["classes"] == list(HOSTILE)
    assert HOSTILE[0] in page.data["columns"]["path"]


def test_a_page_without_noisy_labels(rows, last_round, tmp_path):
    labels = last_round.evidence.labels
    partition = replace(last_round.partition, group=np.full(4, Group.CLEAN))
    targets = replace(last_round.targets, soft=np.eye(3)[labels])
    audit = audit_of(rows, replace(last_round, partition=partition, targets=targets), {})
    text = page_of(audit, tmp_path).text
    assert "No other class is suggested for any of 4 labels" in text
    assert '<td colspan="3">None.</td>' in text


def test_a_page_without_a_usable_row(rows, last_round, tmp_path):
    audit = audit_of(rows, last_round, {})
    table = audit.table.assign(status="unusable", quality=np.nan, suggested=None)
    assert "no usable image" in page_of(replace(audit, table=table), tmp_path).text


def test_a_saved_audit_makes_the_same_page_but_for_the_neighbors(audit, tmp_path):
    back = Audit.from_json(audit.to_json(tmp_path / "audit.json"))
    fresh, again = (page_of(one, tmp_path).data for one in (audit, back))
    assert any(fresh.pop("nearest")["of"])
    assert not any(again.pop("nearest")["of"])
    assert fresh == again


def test_thresholds_are_drawn_on_the_score_that_they_cut(audit):
    assert report.cut_score(audit) == ("p_clean", (0.3, 0.7))
    assert report.cut_score(replace(audit, bands=Bands("loss", (0.3,), (0.7,)))) == ("quality", None)
    assert report.cut_score(replace(audit, bands=Bands("p_clean", (0.3, 0.4), (0.7, 0.8)))) == ("quality", None)
    assert report.cut_score(replace(audit, bands=None)) == ("quality", None)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "CMYK", "I;16", "1"])
def test_thumbnails_of_every_mode_are_small_upright_jpegs(mode, tmp_path):
    picture = Image.new(mode, (300, 150))
    suffix = "jpg" if mode == "CMYK" else "png"
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture.save(tmp_path / f"x.{suffix}", exif=exif)
    small = Image.open(io.BytesIO(report.photo(tmp_path / f"x.{suffix}")))
    assert (small.format, small.mode, small.size) == ("JPEG", "RGB", (128, 256))


def test_a_16_bit_gray_keeps_its_shades(tmp_path):
    Image.fromarray(np.full((20, 20), 32768, dtype=np.uint16)).save(tmp_path / "x.png")
    small = Image.open(io.BytesIO(report.photo(tmp_path / "x.png")))
    assert abs(int(np.asarray(small)[0, 0, 0]) - 128) <= 2


def test_photos_that_cannot_be_read_have_no_thumbnail(audit, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "b.jpg").write_text("no picture")
    Image.new("RGB", (9, 9)).save(tmp_path / "x" / "a.jpg")
    photos = page_of(audit, tmp_path, thumbnail=None, root=tmp_path).data["columns"]["photo"]
    assert [bool(photo) for photo in photos] == [False, False, False, True, False]


def test_a_page_stays_under_eight_megabytes_whatever_it_shows(last_round, tmp_path):
    n = 5000
    rng = np.random.default_rng(0)
    busy = report.jpeg(Image.fromarray(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)))
    ids = tuple(f"some_class/{i:032x}.jpg" for i in range(n))
    paths = tuple(f"/home/someone/photos/{i}" for i in ids)
    rows = Rows(ids, paths, np.zeros(n, dtype=int), ("wolf", "husky", "nan"), (None,) * n)
    at = np.array([], dtype=np.int64)
    predicted = {"macro": at, "micro": at}
    audit = Audit.of(rows, at, _empty(last_round), {}, predicted=predicted)
    numbers = {name: rng.random(n) for name in NUMBERS}
    words = {"status": "noisy", "suggested": "husky", "macro": "husky", "micro": "wolf", "zero_shot": "nan"}
    audit = replace(audit, table=audit.table.assign(**numbers, **words))
    path = audit.report(tmp_path / "report.html", thumbnail=lambda row: busy)
    assert 6_000_000 < path.stat().st_size < 8_000_000


def _empty(last):
    """A round of no samples."""
    last = replace(last, partition=replace(last.partition, thresholds=None))
    cut = {
        name: replace(record, **{k: v[:0] for k, v in vars(record).items() if isinstance(v, np.ndarray)})
        for name, record in vars(last).items()
        if name in ("evidence", "partition", "targets", "matched")
    }
    return replace(last, **cut, quality=last.quality[:0])
