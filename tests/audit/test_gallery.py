import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from audits import audit_of, hand_audit
from srrs.audit.gallery import SIDES, gallery, nearest_trusted, shrunk
from srrs.audit.report import jpeg, ranked


def data_of(audit, photos=9, thumbnail=lambda row: None, **options):
    return gallery(audit, ranked(audit.table), audit.summary(), thumbnail, photos, **options)


def test_neighbours_are_the_most_similar_clean_photos_in_rows_of_the_table(rows, last_round):
    features = np.array([[1, 0, 0], [0.9, 0.1, 0], [0.6, 0.8, 0], [0, 0, 1]], dtype=np.float32)  # of d, b, a, c
    audit = audit_of(rows, last_round, features=features)
    audit = replace(audit, table=audit.table.assign(status=["clean", "unusable", "noisy", "clean", "clean"]))
    found = nearest_trusted(audit, np.array([2, 0, 1, 3]), k=3)
    assert found.tolist() == [[4, 0, 3], [4, 3, -1], [-1, -1, -1], [0, 4, -1]]


def test_ties_among_neighbours_do_not_depend_on_the_order_of_rows(rows, last_round):
    features = np.ones((4, 2), dtype=np.float32)
    audit = audit_of(rows, last_round, features=features)
    audit = replace(audit, table=audit.table.assign(status="clean"))
    assert [audit.table.id[row] for row in nearest_trusted(audit, np.array([2]))[0] if row >= 0] == ["a", "c", "d"]


def test_neighbours_travel_with_label_and_picture_once_each(audit, monkeypatch):
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


@pytest.mark.parametrize(("room", "side"), [(10**6, 192), (4_000, 128), (0, 96)])
def test_photos_are_as_large_as_there_is_room(audit, monkeypatch, room, side):
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    busy = jpeg(Image.fromarray(noise).resize((192, 192)))
    monkeypatch.setattr("srrs.audit.gallery.ROOM", room)
    audit = replace(audit, features=None)  # without features, and so without neighbours
    sizes = {s: len(base64.b64encode(shrunk(busy, s))) for s in SIDES}
    if room == 4_000:
        monkeypatch.setattr("srrs.audit.gallery.ROOM", (5 * sizes[128] + 3_000) / 500)
    data = data_of(audit, thumbnail=lambda row: busy)
    assert Image.open(io.BytesIO(base64.b64decode(data["columns"]["photo"][0]))).size == (side, side)
