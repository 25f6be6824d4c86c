import hashlib
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from srrs.core.keyed import RANK_BITS
from srrs.data.inputs import read_inputs
from srrs.data.samples import Samples, checked, from_csv, from_folder

CONTENTS = [hashlib.sha256(bytes([i])).hexdigest() for i in range(4)]


def make(contents, labels, ids=None, **more):
    count = len(contents)
    return Samples(
        ids=tuple(ids or (f"row {i}" for i in range(count))), paths=(Path("x"),) * count, labels=np.array(labels),
        class_names=("cat", "dog"), class_keys=("cat", "dog"), issues=("",) * count, keys=tuple(contents), **more,
    )  # fmt: skip


rows = st.lists(st.tuples(st.sampled_from(["", *CONTENTS]), st.integers(-1, 1)), min_size=1, max_size=12)


@given(rows, st.randoms(use_true_random=False))
def test_keys_do_not_depend_on_the_order_of_rows(rows, random):
    samples = make([content for content, _ in rows], [label for _, label in rows])
    order = random.sample(range(len(rows)), len(rows))
    assert samples.take(order).content_keys.tolist() == samples.content_keys[order].tolist()


@given(rows)
def test_all_keys_differ_and_equal_contents_share_the_upper_bits(rows):
    samples = make([content for content, _ in rows], [label for _, label in rows])
    keys = samples.content_keys
    assert keys.dtype == np.uint64
    assert len(set(keys.tolist())) == len(rows)
    heads = (keys >> np.uint64(RANK_BITS)).tolist()
    for content in CONTENTS:
        assert len({head for head, (own, _) in zip(heads, rows, strict=True) if own == content}) <= 1


@given(rows)
def test_renaming_files_keeps_the_keys_of_each_content_and_class(rows):
    rows = [(content, label) for content, label in rows if content]
    contents, labels = [content for content, _ in rows], [label for _, label in rows]
    before = make(contents, labels).content_keys.tolist()
    after = make(contents, labels, [f"{-i} new" for i in range(len(rows))]).content_keys.tolist()
    assert sorted(zip(rows, before, strict=True)) == sorted(zip(rows, after, strict=True))


def test_the_key_of_a_single_image_is_the_head_of_its_digest():
    (key,) = make(CONTENTS[:1], [0]).content_keys.tolist()
    assert key >> RANK_BITS == int(CONTENTS[0][:16], 16) >> RANK_BITS
    assert key % 2**RANK_BITS == 0


def test_another_row_changes_no_key_but_those_of_its_copies():
    few, more = make(CONTENTS[:2], [0, 1]), make(CONTENTS[:3], [0, 1, 1])
    assert more.content_keys[:2].tolist() == few.content_keys.tolist()


def test_several_images_of_an_object_are_combined_in_any_order():
    one, two, three = ((key, Path(key)) for key in CONTENTS[:3])
    a = make([one[0]], [0], others=((two, three),))
    b = make([three[0]], [0], others=((one, two),))
    assert a.content_keys.tolist() == b.content_keys.tolist()
    assert a.content_keys.tolist() != make([one[0]], [0], others=((two,),)).content_keys.tolist()


def test_rows_without_content_are_keyed_by_their_id():
    a, b = make(["", ""], [0, 0]), make(["", ""], [1, 0], ["row 0", "other"])
    assert a.content_keys[0] == b.content_keys[0]
    assert a.content_keys[1] != b.content_keys[1]


def test_a_renamed_folder_and_a_shuffled_table_have_the_same_keys(tmp_path):
    for at, name in enumerate(("cat/a.png", "cat/b.png", "dog/c.png")):
        for root in ("one", "two"):
            path = tmp_path / root / (name if root == "one" else name.replace(".png", "-new.png"))
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (80 * at, 0, 0)).save(path)
    one, two = checked(from_folder(tmp_path / "one")), checked(from_folder(tmp_path / "two"))
    assert one.content_keys.tolist() == two.content_keys.tolist()
    table = tmp_path / "labels.csv"
    table.write_text("path,label\none/dog/c.png,dog\none/cat/b.png,cat\none/cat/a.png,cat\n")
    assert checked(from_csv(table)).content_keys.tolist() == one.content_keys.tolist()[::-1]


def test_embeddings_are_keyed_by_their_digests_else_by_id_else_by_their_bytes(tmp_path):
    vectors = np.eye(4, dtype=np.float32)
    arrays = {"embeddings": vectors, "labels": np.array(["cat", "dog", "cat", "dog"])}
    names = {"ids": np.array(list("abcd")), "keys": np.array(CONTENTS)}

    def keys(**more):
        np.savez(tmp_path / "e.npz", **arrays | more)
        return read_inputs(tmp_path / "e.npz").samples.content_keys.tolist()

    assert keys(**names) == make(CONTENTS, [0, 1, 0, 1]).content_keys.tolist()
    by_id = keys(ids=names["ids"])
    assert by_id == keys(ids=names["ids"], embeddings=vectors[::-1])
    by_bytes = keys()
    assert not set(by_bytes) & set(by_id)
    assert keys(embeddings=vectors[::-1]) == by_bytes[::-1]


@pytest.mark.parametrize("same", [True, False], ids=["one content", "all different"])
def test_200_000_rows_take_seconds(same):
    count = 200_000
    contents = [CONTENTS[0]] * count if same else [hashlib.sha256(str(i).encode()).hexdigest() for i in range(count)]
    samples = make(contents, np.arange(count) % 2)
    start = time.process_time()
    assert len(np.unique(samples.content_keys)) == count
    assert time.process_time() - start < 10


def test_keys_of_decided_labels_are_found_anew():
    samples = make([CONTENTS[0]] * 2, [0, 1])
    other = replace(samples, labels=np.array([1, 0]))
    assert samples.content_keys.tolist() == other.content_keys.tolist()[::-1]
