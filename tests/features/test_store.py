import errno
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from srrs import checksum
from srrs.cache import cache_limit
from srrs.data.samples import checked, from_paths
from srrs.errors import DataError, ModelError, SettingsError
from srrs.features.shard_file import pack_keys
from srrs.features.shards import FeatureStore
from srrs.features.store import encode
from srrs.io import atomic, cache_root


class Model:
    """A linear tower that counts the pictures it encodes and fails after so many batches."""

    feature_size = 16
    device = torch.device("cpu")

    def __init__(self, fingerprint="f", fail_after=None):
        self.fingerprint, self.fail_after = fingerprint, fail_after
        self.preprocessing: dict[str, object] = {"size": 8}
        self.weight = torch.randn(3 * 8 * 8, 16, generator=torch.Generator().manual_seed(0))
        self.encoded = self.batches = 0

    def preprocess(self, image):
        return self.preprocess_crop(image, (0, 0, *image.size), False)

    def preprocess_crop(self, image, box, flip):
        small = image.resize((8, 8), Image.Resampling.BILINEAR, box)
        pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255 - 0.5
        return pixels.flip(2) if flip else pixels

    def encode_images(self, pixels):
        if self.batches == self.fail_after:
            raise KeyboardInterrupt
        self.batches += 1
        self.encoded += len(pixels)
        return torch.nn.functional.normalize(pixels.flatten(1) @ self.weight, dim=1)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    paths = []
    for number in range(11):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    copy = folder / "copy.png"
    copy.write_bytes(paths[0].read_bytes())
    return checked(from_paths([*paths, copy]))


ROWS = np.arange(12)


def same(one, other):
    return np.array_equal(one.plain, other.plain) and np.array_equal(one.views, other.views)


def test_features_are_those_of_the_model(samples):
    features = encode(samples, ROWS, Model(), views=2, batch=4)
    model = Model()
    expected = torch.cat([model.encode_images(model.preprocess(Image.open(path))[None]) for path in samples.paths])
    assert features.plain.shape == (12, 16)
    assert features.views.shape == (12, 2, 16)
    assert features.plain.dtype == features.views.dtype == np.float16
    assert np.abs(features.plain - expected.numpy()).max() < 1e-3
    assert not np.array_equal(features.views[:, 0], features.views[:, 1])


def test_the_same_content_is_encoded_once(samples):
    features = encode(samples, ROWS, model := Model(), views=1)
    assert model.encoded == 11 * 2
    assert np.array_equal(features.plain[0], features.plain[11])


def test_a_second_run_encodes_nothing(samples, tmp_path):
    steps = []
    first = encode(samples, ROWS, Model(), views=3, cache=tmp_path)
    second = encode(samples, ROWS, model := Model(), 3, cache=tmp_path, progress=lambda *step: steps.append(step))
    assert model.batches == 0
    assert same(first, second)
    assert steps == [(44, 44)]
    assert same(first, encode(samples, ROWS, Model(), views=3))


def test_more_views_and_other_seeds_add_to_what_is_there(samples, tmp_path):
    few = encode(samples, ROWS, Model(), views=2, cache=tmp_path)
    more = encode(samples, ROWS, model := Model(), views=3, cache=tmp_path)
    assert model.encoded == 11
    assert np.array_equal(few.views, more.views[:, :2])
    other = encode(samples, ROWS, model := Model(), views=2, seed=1, cache=tmp_path)
    assert model.encoded == 22
    assert np.array_equal(few.plain, other.plain)
    assert not np.array_equal(few.views, other.views)


def test_permuting_rows_permutes_features_bitwise(samples):
    order = np.random.default_rng(1).permutation(12)
    features = encode(samples, ROWS, Model(), views=2, batch=4)
    by_rows = encode(samples, order, Model(), views=2, batch=4)
    by_table = encode(samples.take(order), ROWS, Model(), views=2, batch=4)
    for moved in (by_rows, by_table):
        assert np.array_equal(moved.plain, features.plain[order])
        assert np.array_equal(moved.views, features.views[order])


@pytest.mark.parametrize("deadline", [None, lambda: False])
def test_an_interrupted_run_goes_on_to_the_same_bits(samples, tmp_path, deadline):
    with pytest.raises(KeyboardInterrupt):
        encode(samples, ROWS, Model(fail_after=4), 2, cache=tmp_path, batch=4, deadline=deadline)
    rest = encode(samples, ROWS, model := Model(), 2, cache=tmp_path, batch=4, deadline=deadline)
    assert model.batches == 9 - 4
    assert same(rest, encode(samples, ROWS, Model(), 2, batch=4))


def test_a_deadline_stops_after_a_whole_view(samples, tmp_path):
    asked = iter([False, True])
    features = encode(samples, ROWS, Model(), views=5, batch=4, deadline=lambda: next(asked), cache=tmp_path)
    whole = encode(samples, ROWS, Model(), views=5, batch=4)
    assert features.views.shape == (12, 1, 16)
    assert np.array_equal(features.plain, whole.plain)
    assert np.array_equal(features.views, whole.views[:, :1])
    late = encode(samples, ROWS, model := Model(), views=5, batch=4, deadline=lambda: True, cache=tmp_path)
    assert model.encoded == 0
    assert late.views.shape == (12, 1, 16)
    assert encode(samples, ROWS, Model(), views=2, deadline=lambda: True).views.shape == (12, 0, 16)


def truncated(shard, _):
    shard.write_bytes(shard.read_bytes()[:-7])


def no_shard(shard, _):
    shard.write_bytes(b"\xff" * 40)


def flipped_bit(shard, _):
    flip(shard, -5)


def flip(file, at):
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def zeroed(shard, _):
    content = shard.read_bytes()
    shard.write_bytes(content[:-100] + bytes(100))


def not_a_number(shard, _):
    content, begin = bytearray(shard.read_bytes()), int.from_bytes(shard.read_bytes()[:8], "little")
    content[8 + begin : 10 + begin] = np.float16(np.nan).tobytes()
    shard.write_bytes(content)


def other_view(shard, cropped):
    shard.write_bytes(cropped.read_bytes())


def other_model(shard, _):
    shard.write_bytes(shard.read_bytes().replace(shard.parent.name.encode(), b"0" * 32))


def no_checksum(shard, _):
    shard.write_bytes(shard.read_bytes().replace(b'"checksum"', b'"chocksum"'))


@pytest.mark.parametrize(
    "damage", [truncated, no_shard, flipped_bit, zeroed, not_a_number, other_view, other_model, no_checksum]
)
def test_a_damaged_shard_is_noticed_and_its_images_are_encoded_again(samples, tmp_path, damage, caplog):
    first = encode(samples, ROWS, Model(), views=1, cache=tmp_path)
    (shard,), (cropped,) = (list(tmp_path.glob(f"features/*/{view}-*.safetensors")) for view in ("plain", "seed0view0"))
    damage(shard, cropped)
    again = encode(samples, ROWS, model := Model(), views=1, cache=tmp_path)
    assert model.encoded == 11
    assert same(first, again)
    (said,) = caplog.messages
    assert said == (
        f"1 of 1 files of cached features in {shard.parent} are damaged: they are removed, and their images encoded "
        "again."
    )
    encode(samples, ROWS, model := Model(), views=1, cache=tmp_path)
    assert model.encoded == 0


def test_every_flipped_bit_of_a_shard_is_noticed(samples, tmp_path, caplog):
    first = encode(samples, ROWS[:2], Model(), cache=tmp_path)
    (shard,) = tmp_path.glob("features/*/plain-*.safetensors")
    whole = shard.read_bytes()
    for at in range(0, len(whole), 23):
        shard.write_bytes(whole)
        flip(shard, at)
        caplog.clear()
        assert same(first, encode(samples, ROWS[:2], model := Model(), cache=tmp_path))
        # Where a key is damaged, the shard may hold none of the images asked for: it is not read
        assert model.encoded == 2
        assert len(caplog.messages) <= 1
        for path in shard.parent.glob("plain-*.safetensors"):
            path.unlink()


def test_shards_without_an_image_that_is_asked_for_are_not_read(samples, tmp_path, monkeypatch):
    encode(samples, ROWS[:3], Model(), cache=tmp_path)
    encode(samples, ROWS[3:6], Model(), cache=tmp_path)
    read = []
    monkeypatch.setattr(checksum, "is_whole", lambda path: read.append(path) or True)
    encode(samples, ROWS[:2], Model(), cache=tmp_path)
    assert len(read) == 1


def test_what_a_killed_process_left_in_the_cache_is_removed(samples, tmp_path):
    encode(samples, ROWS, Model(), cache=tmp_path)
    (folder,) = (tmp_path / "features").iterdir()
    with atomic(folder / "plain-1.safetensors") as part:
        left = folder / part.name.replace(str(os.getpid()), "999999999")
        left.touch()
    encode(samples, ROWS, Model(), cache=tmp_path)
    assert not left.exists()


def test_other_weights_and_preprocessing_share_nothing(samples, tmp_path):
    encode(samples, ROWS, Model(), cache=tmp_path)
    other, third = Model("g"), Model()
    third.preprocessing = {"size": 9}
    for model in (other, third):
        encode(samples, ROWS, model, cache=tmp_path)
        assert model.encoded == 11


def test_shards_are_read_from_disk_as_maps(samples, tmp_path):
    encode(samples, ROWS, Model(), cache=tmp_path)
    (folder,) = (tmp_path / "features").iterdir()
    (shard,) = FeatureStore(folder, 16)._read("plain")
    assert isinstance(shard.features, np.memmap)


def test_keys_that_end_in_zeros_are_told_apart():
    keys = ["ab" + "00" * 31, "ab" + "00" * 30 + "01", "00" * 32]
    store = FeatureStore(None, 2)
    store.add("plain", pack_keys(keys), np.arange(6, dtype=np.float16).reshape(3, 2))
    store.flush()
    out = np.empty((3, 2), dtype=np.float16)
    store.gather("plain", pack_keys(keys[::-1]), out)
    assert out.tolist() == [[4, 5], [2, 3], [0, 1]]


def test_models_not_used_for_longest_go_first(samples, tmp_path, monkeypatch):
    models = [Model(name) for name in "abc"]
    for age, model in zip((300, 100, 200), models, strict=True):
        encode(samples, ROWS, model, cache=tmp_path)
        newest = max((tmp_path / "features").glob("*/model.json"), key=lambda path: path.stat().st_mtime)
        os.utime(newest, (1e9 - age, 1e9 - age))
    (tmp_path / "features" / "mine").mkdir()
    (tmp_path / "features" / "mine" / "file").write_bytes(b"1" * 4000)
    size = sum(p.stat().st_size for p in (tmp_path / "features").glob("*/*") if p.parent.name != "mine")
    monkeypatch.setenv("SRRS_CACHE_LIMIT_GB", str(size / 2**30 + 1e-8))
    encode(samples, ROWS, Model("d"), cache=tmp_path)
    assert (tmp_path / "features" / "mine" / "file").exists()
    for name, expected in (("d", 0), ("b", 0), ("c", 0), ("a", 11)):
        monkeypatch.setenv("SRRS_CACHE_LIMIT_GB", "1")
        encode(samples, ROWS, model := Model(name), cache=tmp_path)
        assert model.encoded == expected, name


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("SRRS_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("SRRS_CACHE")
    assert cache_root().name == "srrs"
    for text in ("many", "0", "-1", "nan"):
        monkeypatch.setenv("SRRS_CACHE_LIMIT_GB", text)
        with pytest.raises(SettingsError, match=f"above 0, but it is '{text}'"):
            cache_limit()


def test_a_cache_that_cannot_be_written_is_named(samples, tmp_path):
    (tmp_path / "features").write_text("a file in the way")
    with pytest.raises(DataError, match=r"Cannot write .*features.* Features are cached: set SRRS_CACHE"):
        encode(samples, ROWS, Model(), cache=tmp_path)


def test_a_file_that_goes_or_changes_after_the_check_is_named(samples, tmp_path):
    path = tmp_path / "late.png"
    path.write_bytes(samples.paths[3].read_bytes())
    late = checked(from_paths([path]))
    path.write_bytes(samples.paths[4].read_bytes())
    with pytest.raises(DataError, match=r"late\.png to stay as it was"):
        encode(late, [0], Model())
    path.unlink()
    with pytest.raises(DataError, match=r"late\.png, but it can no longer be read"):
        encode(late, [0], Model())


def test_rows_without_a_picture_are_refused(samples):
    with pytest.raises(DataError, match=r"'.*0\.png' has an issue: unchecked"):
        encode(replace(samples, keys=("",) * 12), ROWS, Model())
    with pytest.raises(DataError, match=r"'.*0\.png' has an issue: truncated"):
        encode(replace(samples, issues=("truncated",) * 12), ROWS, Model())
    assert len(encode(replace(samples, issues=("no label",) * 12), ROWS, Model()).plain) == 12


def test_numbers_that_are_not_finite_name_the_picture(samples):
    model = Model()
    model.weight[:] = torch.nan
    with pytest.raises(ModelError, match=r"finite features, but the model gives others for .*\.png"):
        encode(samples, ROWS, model)


def test_no_rows_give_no_features(samples):
    features = encode(samples, [], Model(), views=2)
    assert features.plain.shape == (0, 16)
    assert features.views.shape == (0, 2, 16)


def test_a_write_that_fails_halfway_leaves_no_shard_behind(samples, tmp_path, monkeypatch):
    def broken(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checksum, "stamp", broken)
    with pytest.raises(DataError, match=r"plain-.*: the disk is full\. Free some space.* set SRRS_CACHE"):
        encode(samples, ROWS, Model(), cache=tmp_path)
    assert [path.name for path in tmp_path.glob("features/*/*")] == ["model.json"]
