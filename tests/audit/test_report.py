import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from srrs.audit import report
from srrs.audit.table import Audit, Rows
from srrs.records import Group

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "'\"&\u2028<!--",
)
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


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


def test_photos_are_cut_to_the_worst_and_the_page_says_so(audit, tmp_path):
    asked = []
    page = page_of(audit, tmp_path, photos=2, rows=4, thumbnail=lambda row: asked.append(row) or b"jpeg")
    assert asked == [2, 4]
    assert page.data["columns"]["photo"] == [base64.b64encode(b"jpeg").decode()] * 2
    assert len(page.data["columns"]["id"]) == 4
    assert "Of 5 images, 4 are listed" in page.text
    assert "The first 2 have their photo in this file" in page.text


def test_hostile_names_stay_data(rows, last_round, tmp_path):
    audit = Audit.of(hostile(rows), last_round, {"model": HOSTILE[0]}, neighbours_agree=np.zeros(4))
    page = page_of(audit, tmp_path, title=HOSTILE[1])
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert "img" not in [tag for tag, _ in page.tags]
    assert page.data["classes"] == list(HOSTILE)
    assert HOSTILE[0] in page.data["columns"]["path"]


def test_a_page_without_noisy_labels(rows, last_round, tmp_path):
    labels = last_round.evidence.labels
    partition = replace(last_round.partition, group=np.full(4, Group.CLEAN))
    targets = replace(last_round.targets, soft=np.eye(3)[labels])
    audit = Audit.of(rows, replace(last_round, partition=partition, targets=targets), {}, neighbours_agree=np.ones(4))
    text = page_of(audit, tmp_path).text
    assert "No other class is suggested for any of 4 labels" in text
    assert '<td colspan="3">None.</td>' in text


def test_a_page_without_a_usable_row(rows, last_round, tmp_path):
    audit = Audit.of(rows, last_round, {}, neighbours_agree=np.ones(4))
    table = audit.table.assign(status="unusable", quality=np.nan, suggested=None)
    assert "no usable image" in page_of(replace(audit, table=table), tmp_path).text


def test_a_saved_audit_makes_the_same_page(audit, tmp_path):
    back = Audit.from_json(audit.to_json(tmp_path / "audit.json"))
    assert page_of(back, tmp_path).text == page_of(audit, tmp_path).text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.3, 0.7, ("quality", (0.3, 0.7))), (0.95, 0.99, ("quality", None)), (-1.0, 2.0, ("quality", None))],
)
def test_thresholds_are_drawn_only_where_they_explain_the_verdicts(audit, low, high, expected):
    assert report.cut_score(replace(audit, thresholds=np.array([[low, high]]))) == expected


def test_thresholds_on_p_clean_are_drawn_on_p_clean(audit):
    audit = replace(audit, table=audit.table.assign(quality=audit.table.quality / 10))
    assert report.cut_score(audit) == ("p_clean", (0.3, 0.7))
    assert report.cut_score(replace(audit, thresholds=np.tile([0.3, 0.7], (3, 1)))) == ("quality", None)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "CMYK", "I;16", "1"])
def test_thumbnails_of_every_mode_are_small_upright_jpegs(mode, tmp_path):
    picture = Image.new(mode, (300, 150))
    suffix = "jpg" if mode == "CMYK" else "png"
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture.save(tmp_path / f"x.{suffix}", exif=exif)
    small = Image.open(io.BytesIO(report.photo(tmp_path / f"x.{suffix}")))
    assert (small.format, small.mode, small.size) == ("JPEG", "RGB", (48, 96))


def test_a_16_bit_grey_keeps_its_shades(tmp_path):
    Image.fromarray(np.full((20, 20), 32768, dtype=np.uint16)).save(tmp_path / "x.png")
    small = Image.open(io.BytesIO(report.photo(tmp_path / "x.png")))
    assert abs(int(np.asarray(small)[0, 0, 0]) - 128) <= 2


def test_photos_that_cannot_be_read_have_no_thumbnail(audit, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "b.jpg").write_text("no picture")
    Image.new("RGB", (9, 9)).save(tmp_path / "x" / "a.jpg")
    photos = page_of(audit, tmp_path, thumbnail=None, root=tmp_path).data["columns"]["photo"]
    assert [bool(photo) for photo in photos] == [False, False, False, True, False]


def test_five_hundred_photos_stay_under_four_megabytes(last_round, tmp_path):
    n = 2000
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).resize(
        (96, 96), Image.Resampling.BICUBIC
    )
    busy = report.jpeg(noise)
    ids = tuple(f"{i:064x}" for i in range(n))
    rows = Rows(ids, tuple(f"photos/some_class/{i}.jpg" for i in ids), np.zeros(n, dtype=int), ("wolf",), (None,) * n)
    table = Audit.of(replace(rows, class_names=("wolf", "husky", "nan")), _empty(last_round), {}).table
    audit = Audit.of(replace(rows, class_names=("wolf", "husky", "nan")), _empty(last_round), {})
    audit = replace(audit, table=table.assign(status="noisy", quality=rng.random(n), suggested="husky"))
    path = audit.report(tmp_path / "report.html", thumbnail=lambda row: busy)
    assert path.stat().st_size < 4_000_000


def _empty(last):
    """A round of no samples."""
    cut = {
        name: replace(
            record, **{k: v[:0] for k, v in vars(record).items() if k != "thresholds" and hasattr(v, "__getitem__")}
        )
        for name, record in vars(last).items()
        if name in ("evidence", "partition", "targets", "matched")
    }
    return replace(last, **cut, quality=last.quality[:0])


@pytest.mark.skipif(BROWSER is None, reason="needs chromium on the PATH")
def test_a_browser_draws_filters_and_runs_no_hostile_name(rows, last_round, tmp_path, monkeypatch):
    actions = """
      const out = [], shown = () => [...document.querySelectorAll(".photo .badge")].map((b) => b.textContent).join(" ");
      out.push(shown());
      document.querySelector("#pairs button").click();
      out.push(shown());
      document.querySelector("[type=reset]").click();
      setTimeout(() => {
        document.querySelector("#statuses input").click();
        out.push(shown(), document.getElementById("count").textContent, document.title);
        const pre = Object.assign(document.createElement("pre"), { id: "out", textContent: JSON.stringify(out) });
        document.body.append(pre);
      }, 50);
    """
    source = report._source
    monkeypatch.setattr(report, "_source", lambda t, name: source(t, name) + (actions if name.endswith("js") else ""))
    audit = Audit.of(hostile(rows), last_round, {}, neighbours_agree=np.zeros(4))
    path = audit.report(tmp_path / "report.html", title="Quiet", thumbnail=lambda row: None)
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--virtual-time-budget=3000",
    ]
    command = [BROWSER, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    every, pair, noisy, count, title = json.loads(re.search(r'<pre id="out">(.*?)</pre>', dom)[1])
    assert every == "noisy outside ambiguous clean unusable"
    assert pair == noisy == "noisy"
    assert count == "1 of 5 photos"
    assert title == "Quiet"
