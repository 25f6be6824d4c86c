import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from audits import audit_of, hand_audit
from srrs.audit.gallery import SIDE, SMALLER, Links, gallery, nearest_trusted, shrunk
from srrs.audit.report import jpeg, ranked
from srrs.audit.table import Audit, Rows
from srrs.records import Evidence, Group, Matched, NoiseEstimate, Partition, Round, Targets


def data_of(audit, photos=9, thumbnail=lambda row: None, **options):
    return gallery(audit, ranked(audit.table), audit.summary(), thumbnail, photos, **options)


def test_neighbors_are_the_most_similar_clean_photos_in_rows_of_the_table(rows, last_round):
    features = np.array([[1, 0, 0], [0.9, 0.1, 0], [0.6, 0.8, 0], [0, 0, 1]], dtype=np.float32)  # of d, b, a, c
    audit = audit_of(rows, last_round, features=features)
    audit = replace(audit, table=audit.table.assign(status=["clean", "unusable", "noisy", "clean", "clean"]))
    found = nearest_trusted(audit, np.array([2, 0, 1, 3]), k=3)
    assert found.tolist() == [[4, 0, 3], [4, 3, -1], [-1, -1, -1], [4, 0, -1]]  # 4 and 0 are equal: by key


def test_ties_among_neighbors_are_broken_by_content_keys_not_by_the_order_of_rows(rows, last_round):
    features = np.ones((4, 2), dtype=np.float32)  # the keys of d, b, a, c are 0, 1, 2, 3
    audit = audit_of(rows, last_round, features=features)
    audit = replace(audit, table=audit.table.assign(status="clean"))
    assert [audit.table.id[row] for row in nearest_trusted(audit, np.array([2]))[0] if row >= 0] == ["d", "a", "c"]


def test_ties_among_equal_content_keys_are_broken_by_ids(rows, last_round):
    features = np.ones((4, 2), dtype=np.float32)  # of d, b, a, c
    keys = np.array([7, 3, 7, 7], dtype=np.uint64)
    last = replace(last_round, evidence=replace(last_round.evidence, keys=keys))
    audit = audit_of(rows, last, features=features)
    audit = replace(audit, table=audit.table.assign(status="clean"))
    row = audit.table.id.tolist().index("b")
    assert [audit.table.id[at] for at in nearest_trusted(audit, np.array([row]))[0] if at >= 0] == ["a", "c", "d"]


def test_neighbors_are_found_in_blocks_of_rows_as_among_all_pairs(monkeypatch):
    rng = np.random.default_rng(0)
    count, size = 300, 8
    labels = rng.integers(0, 3, count)
    group = np.where(rng.random(count) < 0.4, Group.NOISY, Group.CLEAN)
    partition = Partition(group, rng.random(count), NoiseEstimate(0.4, 0.3, 0.5))
    nothing = Matched(np.ones(count, bool), np.full(count, np.nan))
    keys = rng.permutation(count).astype(np.uint64)
    last = Round(Evidence(keys, labels, 3), partition, Targets(np.eye(3)[labels], np.ones(count)), nothing, labels / 2)
    features = rng.normal(size=(count, size)).astype(np.float16)
    features[50:80] = features[10]  # more copies than neighbors that are asked for
    names = tuple(f"{number}.jpg" for number in range(count + 20))
    rows = Rows(names, (None,) * len(names), np.zeros(len(names), int), ("a", "b", "c"), ("",) * len(names))
    rows.given[(at := np.sort(rng.permutation(len(names))[:count]))] = labels
    audit = Audit.of(rows, at, last, {}, features=features)
    asked = rng.permutation(len(names))[:200]

    wide, expected = features.astype(np.float64), np.full((len(asked), 4), -1)
    for number, row in enumerate(asked):
        if row in at:
            own = int(np.flatnonzero(at == row)[0])
            cosines = np.round(wide @ wide[own], 4)
            others = [one for one in range(count) if one != own and group[one] == Group.CLEAN]
            expected[number] = at[sorted(others, key=lambda one: (-cosines[one], keys[one]))[:4]]
    for rows_at_once in (4_096, 64, 7):
        monkeypatch.setattr("srrs.audit.gallery.ROWS", rows_at_once)
        assert np.array_equal(nearest_trusted(audit, asked), expected)


def test_neighbors_travel_with_label_and_picture_once_each(audit, monkeypatch):
    near = np.array([[0, 2], [0, -1], [-1, -1], [-1, -1], [-1, -1]])
    monkeypatch.setattr("srrs.audit.gallery.nearest_trusted", lambda audit, rows: near)
    red = jpeg(Image.new("RGB", (300, 200), "red"))
    data = data_of(audit, thumbnail=lambda row: red if row == 0 else None)
    assert data["nearest"]["of"] == [[[0, 0], [0, 1]], [[0, 0]], [], [], []]
    assert [bool(photo) for photo in data["nearest"]["photos"]] == [True, False]
    assert Image.open(io.BytesIO(base64.b64decode(data["nearest"]["photos"][0]))).size == (72, 48)


def test_paths_are_told_by_the_common_folder_and_the_id():
    rows = [{"id": "a/1.jpg", "path": "x/a/1.jpg"}, {"id": "b", "path": "elsewhere"}, {"id": "c", "path": None}]
    data = data_of(hand_audit(rows, ("a", "b")))
    assert data["root"] == "x/"
    assert data["columns"]["path"] == [0, "elsewhere", None]


def test_decisions_are_kept_by_what_was_decided_on(audit):
    key = data_of(audit)["storage"]
    assert data_of(audit, photos=1)["storage"] == key
    assert data_of(replace(audit, table=audit.table.assign(quality=0.5, suggested="nan")))["storage"] != key


def pictured(data):
    """The longest side of each preview, 0 where there is none."""
    photos = data["columns"]["photo"]
    return [max(Image.open(io.BytesIO(base64.b64decode(photo))).size) if photo else 0 for photo in photos]


@pytest.fixture
def busy():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return jpeg(Image.fromarray(noise).resize((SIDE, SIDE)))


def test_previews_are_as_many_as_there_is_room_for_and_files_are_linked(audit, monkeypatch, busy, tmp_path):
    audit = replace(audit, features=None, table=audit.table.assign(path=[f"x/{id}.jpg" for id in audit.table.id]))
    links, size = Links(tmp_path / "out" / "report.html", tmp_path), len(base64.b64encode(shrunk(busy, SIDE)))
    assert pictured(data_of(audit, thumbnail=lambda row: busy, links=links)) == [SIDE] * 5
    assert pictured(data_of(audit, photos=2, thumbnail=lambda row: busy, links=links)) == [SIDE] * 2
    monkeypatch.setattr("srrs.audit.gallery.ROOM", 3 * size + 2_500)
    data = data_of(audit, thumbnail=lambda row: busy, links=links)
    assert pictured(data)[:2] == [SIDE, SIDE]
    assert 0 in pictured(data)
    assert data["columns"]["link"] == [f"../x/{id}.jpg" for id in data["columns"]["id"]]


def test_images_that_are_no_files_have_previews_however_many_they_are(audit, monkeypatch, busy):
    audit = replace(audit, features=None, table=audit.table.assign(path=None))
    assert pictured(data_of(audit, photos=1, thumbnail=lambda row: busy)) == [SIDE] * 5
    sizes = {side: len(base64.b64encode(shrunk(busy, side))) for side in SMALLER}
    monkeypatch.setattr("srrs.audit.gallery.ROOM", 5 * sizes[128] + 2_500)
    assert pictured(data_of(audit, photos=1, thumbnail=lambda row: busy)) == [128] * 5
    monkeypatch.setattr("srrs.audit.gallery.ROOM", 0)
    assert pictured(data_of(audit, photos=1, thumbnail=lambda row: busy)) == [0] * 5


def test_links_lead_from_the_page_to_every_file(tmp_path):
    odd = "a b/#1?&%<é>.jpg"
    rows = [
        {"id": odd, "path": f"photos/{odd}"}, {"id": "b:c.jpg", "path": "photos/b:c.jpg"},
        {"id": "raw\udc80.jpg", "path": "photos/raw\udc80.jpg"}, {"id": "9", "path": str(tmp_path / "far" / "9.jpg")},
        {"id": "memory", "path": None}, {"id": "javascript:alert(1)", "path": "javascript:alert(1)"},
    ]  # fmt: skip
    audit = hand_audit(rows, ("a", "b"))
    data = data_of(audit, links=Links(tmp_path / "work" / "audit" / "report.html", tmp_path / "work"))
    found = dict(zip(data["columns"]["id"], data["columns"]["link"], strict=True))
    assert data["prefix"] == "../photos/"
    assert found == {
        odd: 0, "b:c.jpg": 0, "raw\udc80.jpg": "../photos/raw%80.jpg", "9": "../../far/9.jpg", "memory": None,
        "javascript:alert(1)": "../javascript%3Aalert%281%29",
    }  # fmt: skip


def test_duplicates_are_found_by_their_flags_whatever_they_are_called(tmp_path):
    names = ["a.jpg", "b; c.jpg", "d (labeled cat)", "e.jpg"]
    flags = ["duplicate of b, c.jpg", "near-duplicate of d (labeled cat) (labeled cat)", "trusted; blurry", None]
    rows = [
        {"id": id, "path": id, "given": "cat", "flags": flag, "quality": at / 9}
        for at, (id, flag) in enumerate(zip(names, flags, strict=True))
    ]
    rows[3]["flags"] = "duplicate of test image a.jpg"
    data = data_of(hand_audit(rows, ("cat", "dog")), links=Links(tmp_path / "r.html", tmp_path))
    assert data["twins"] == {0: [["b; c.jpg", 0, 1, "b%3B%20c.jpg"]], 1: [[names[2], 0, 2, "d%20%28labeled%20cat%29"]]}
