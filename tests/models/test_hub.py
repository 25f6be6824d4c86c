"""Loading by path and by name, and everything that can be missing."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

import support
from srrs.errors import MissingExtraError, ModelError
from srrs.models import hub
from srrs.models.hub import load_model
from srrs.models.revision import pinned

MAKERS = {
    "clip": support.tiny_clip,
    "clip legacy": lambda folder: support.tiny_clip(folder, legacy=True),
    "siglip": support.tiny_siglip,
    "dual bert": support.tiny_dual,
    "dual clip": lambda folder: support.tiny_dual(folder, text="clip"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {name: make(base / name) for name, make in MAKERS.items()}


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["clip"], tmp_path / "copy"))


@pytest.mark.parametrize("kind", MAKERS)
def test_image_features_are_the_models_own(folders, kind: str) -> None:
    model = load_model(str(folders[kind]), device="cpu")
    reference = AutoModel.from_pretrained(folders[kind])
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (45, 61, 3), dtype=np.uint8))
    pixels = torch.stack([model.preprocess(image), model.preprocess_crop(image, (5, 5, 40, 40), True)])
    with torch.no_grad():
        theirs = torch.nn.functional.normalize(reference.get_image_features(pixel_values=pixels).pooler_output, dim=-1)
    features = model.encode_images(pixels)
    torch.testing.assert_close(features, theirs)
    assert features.shape == (2, model.feature_size)
    assert not features.requires_grad
    assert not any(p.requires_grad for p in model.model.parameters())


@pytest.mark.parametrize("kind", MAKERS)
def test_tokens_between_start_and_end_are_the_tokenizers_own(folders, kind: str) -> None:
    model = load_model(str(folders[kind]), device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(folders[kind])
    text = "a photo of a Grand Piano."
    assert [*model.start, *model.tokens(text), *model.end] == tokenizer(text)["input_ids"]
    assert model.embed(model.tokens(text)).shape == (len(model.tokens(text)), model.token_size)


def test_the_logit_scale_and_the_longest_prompt_are_the_models_own(folders) -> None:
    clip, siglip = load_model(str(folders["clip"])), load_model(str(folders["siglip"]))
    assert clip.logit_scale == pytest.approx(np.exp(2.6592), rel=1e-4)
    assert (clip.context_length, siglip.context_length) == (77, 16)


def test_the_fingerprint_changes_with_weights_preprocessing_and_precision_alone(copy: Path) -> None:
    seen = [load_model(str(copy)).fingerprint, load_model(str(copy), precision="bf16").fingerprint]
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps(settings | {"resample": 2}))
    seen.append(load_model(str(copy)).fingerprint)
    weights = load_file(copy / "model.safetensors")
    weights["visual_projection.weight"][0, 0] += 1e-3
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    seen.append(load_model(str(copy)).fingerprint)
    assert len(set(seen)) == 4
    moved = copy.rename(copy.with_name("elsewhere"))
    assert load_model(str(moved)).fingerprint == seen[-1]


def test_half_precision_gives_float32_unit_features(folders) -> None:
    model = load_model(str(folders["clip"]), precision="bf16")
    features = model.encode_images(torch.zeros(2, 3, 32, 32))
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", "lacks config.json"),
        ("model.safetensors", "lacks safetensors weights"),
        ("tokenizer.json", "lacks its tokenizer"),
        ("preprocessor_config.json", r"lacks preprocessor_config\.json"),
    ],
)
def test_a_missing_file_is_named(copy: Path, file: str, message: str) -> None:
    (copy / file).unlink()
    with pytest.raises(ModelError, match=message):
        load_model(str(copy))


def test_weights_that_are_incomplete_or_broken_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 tensors, text_projection\.weight among them"):
        load_model(str(copy))
    (copy / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match=r"weights of .* cannot be loaded"):
        load_model(str(copy))


def test_a_tokenizer_that_needs_another_package_names_it(copy: Path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ImportError("SiglipTokenizer requires the SentencePiece library")

    monkeypatch.setattr(hub.transformers.AutoTokenizer, "from_pretrained", refuse)
    with pytest.raises(MissingExtraError, match=r"needs the package sentencepiece: pip install 'srrs\[siglip\]'"):
        load_model(str(copy))


def test_other_kinds_of_model_are_refused_by_name(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    for kind, message in (("siglip2", "NaFlex"), ("bert", "Expected a model of type clip, .* is of type 'bert'")):
        (copy / "config.json").write_text(json.dumps(config | {"model_type": kind}))
        with pytest.raises(ModelError, match=message):
            load_model(str(copy))


PLACES = {
    "config.json": [("model_type",), ("vision_config",), ("projection_dim",)]
    + [(tower, key) for tower in ("text_config", "vision_config") for key in ("hidden_size", "num_hidden_layers")]
    + [("text_config", "vocab_size"), ("text_config", "max_position_embeddings"), ("vision_config", "patch_size")],
    "preprocessor_config.json": [("size",), ("crop_size",), ("crop_size", "height"), ("image_mean",), ("image_std",)],
    "tokenizer_config.json": [("model_max_length",), ("eos_token",), ("tokenizer_class",)],
    "tokenizer.json": [("model",), ("model", "vocab"), ("model", "merges"), ("added_tokens",), ("post_processor",)],
}
ODD = [None, [], {}, "x", -1, 0, 1, 10**9, 10**30, True, [1, 2], float("nan")]


@pytest.mark.parametrize("file", PLACES)
def test_an_edited_model_folder_is_refused_or_still_a_model(copy: Path, file: str) -> None:
    """Any value at a place where transformers expects another: loaded at once, or one error that names the model."""
    content = json.loads((copy / file).read_text())
    refused = []
    for number, (*way, last) in enumerate(PLACES[file] * 3):
        edited = json.loads(json.dumps(content))
        inner = edited
        for step in way:
            inner = inner[step]
        inner[last] = ODD[number * 7 % len(ODD)]
        (copy / file).write_text(json.dumps(edited))
        try:
            load_model(str(copy), device="cpu")
        except ModelError as error:
            refused.append(str(error))
    assert refused
    assert all(str(copy) in message or "preprocessing" in message for message in refused)


def test_sizes_that_would_fill_the_memory_are_refused(copy: Path) -> None:
    content = json.loads((copy / "config.json").read_text())
    for key, size in (("num_hidden_layers", 10**6), ("hidden_size", 10**8)):
        edited = content | {"text_config": content["text_config"] | {key: size}}
        (copy / "config.json").write_text(json.dumps(edited))
        with pytest.raises(ModelError, match=f"config.json of the model .* states {key} {size:,}, which is too large"):
            load_model(str(copy))
    (copy / "config.json").write_text(json.dumps(content))
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    settings["crop_size"] = {"height": 10**6, "width": 10**6}
    (copy / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"Expected preprocessing sizes from 1 to 8192 pixels, found .*1000000"):
        load_model(str(copy))


def test_weights_that_are_not_finite_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights["visual_projection.weight"][0, 0] = float("nan")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="gives features that are not finite: one of its files is damaged"):
        load_model(str(copy))


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_full_memory_is_not_reported_as_a_damaged_file(copy: Path, monkeypatch, error: Exception) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(hub, "load_weights", fails)
    with pytest.raises(type(error)):
        load_model(str(copy))
    error = TypeError("no such size")
    with pytest.raises(ModelError, match=r"cannot be loaded\. Probably one of its files .*: TypeError no such size"):
        load_model(str(copy))


@pytest.mark.parametrize("part", ["snapshot_download", "get_repo_discussions"])
def test_an_error_of_the_network_is_not_reported_as_a_damaged_file(monkeypatch, tmp_path: Path, part: str) -> None:
    def found(name: str, local_files_only: bool, **_: object) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not there")
        return str(tmp_path)

    def fails(name: str, local_files_only: bool = False, **_: object) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not there")
        raise RuntimeError("the connection was closed")

    monkeypatch.setattr(hub, "snapshot_download", found)
    monkeypatch.setattr(hub, part, fails)
    monkeypatch.setattr(hub, "is_reachable", lambda name: True)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match=r"^The model 'somebody/some-model' cannot be fetched: the connection was"):
        load_model("somebody/some-model")


def test_the_network_is_asked_only_after_saying_for_what(monkeypatch, caplog) -> None:
    def asked(name: str) -> bool:
        assert "Fetching it from https://huggingface.co/somebody/some-model" in caplog.text
        return False

    monkeypatch.setattr(hub, "is_reachable", asked)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match="nor reachable at"):
        load_model("somebody/some-model")


def test_a_model_neither_on_disk_nor_reachable_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(hub, "is_reachable", lambda name: False)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(
        ModelError,
        match=r"neither on disk .* nor reachable at https://.*/somebody/some-model: give the path .*--model bundled",
    ):
        load_model("somebody/some-model")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "is_reachable", lambda name: pytest.fail("the hub was asked"))
    with pytest.raises(ModelError, match=r"offline: .* it would be fetched from https?://.*/somebody/some-model"):
        load_model("somebody/some-model")


@pytest.mark.parametrize("name", ["/nowhere/model", "./model", "../model", "~/model", "some/where/else", "C:\\model"])
def test_a_path_that_is_not_there_asks_no_hub(monkeypatch, name: str) -> None:
    for asked in ("is_reachable", "find_cached", "snapshot_download"):
        monkeypatch.setattr(hub, asked, lambda *_, **__: pytest.fail("the hub was asked"))
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match=r"Expected the folder of a model at .*, but there is none"):
        load_model(name)


def test_a_bundled_model_that_is_not_there_says_so(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "files", lambda package: tmp_path)
    with pytest.raises(ModelError, match="holds no bundled clip model"):
        load_model("bundled")


def test_the_bundled_model_is_the_packages_own(monkeypatch, tmp_path: Path, folders) -> None:
    shutil.copytree(folders["clip"], tmp_path / "assets" / "clip")
    monkeypatch.setattr(hub, "files", lambda package: tmp_path)
    model = load_model("bundled")
    assert model.name == "bundled"
    assert model.fingerprint == load_model(str(folders["clip"])).fingerprint


def test_the_hubs_cache_comes_first_and_pickled_weights_are_replaced_by_their_conversion(
    monkeypatch, tmp_path: Path, folders, caplog
) -> None:
    """A stand-in for the hub: main has a pickle alone, the hub's bot offers safetensors as a pull request."""
    main, converted = tmp_path / "snapshots" / "aaa", tmp_path / "snapshots" / "bbb"
    asked = []

    def snapshot_download(name: str, revision: str | None, local_files_only: bool, **_: object) -> str:
        asked.append((revision, local_files_only))
        if not local_files_only and revision == "refs/pr/7":
            shutil.copytree(folders["clip"], converted)
        elif not local_files_only:
            main.mkdir(parents=True)
            (main / "config.json").write_text("{}")
        elif not main.exists():
            raise LocalEntryNotFoundError("not there")
        return str(converted if revision else main)

    requests = [
        SimpleNamespace(is_pull_request=True, author="somebody", status="open", git_reference="refs/pr/3"),
        SimpleNamespace(is_pull_request=True, author="SFconvertbot", status="open", git_reference="refs/pr/7"),
    ]
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(hub, "get_repo_discussions", lambda name: iter(requests))
    monkeypatch.setattr(hub, "is_reachable", lambda name: True)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    first = load_model("somebody/old-model").fingerprint
    assert "The model somebody/old-model is not on disk. Fetching it from https://" in caplog.text
    assert asked == [(None, True), (None, False), ("refs/pr/7", False)]
    assert load_model("somebody/old-model").fingerprint == first
    assert asked[3:] == [(None, True)]


def test_a_revision_of_the_hub_can_be_named_and_is_recorded(monkeypatch, tmp_path: Path, folders) -> None:
    commit, other = tmp_path / "snapshots" / "c0ffee", tmp_path / "snapshots" / "beef"
    for folder in (commit, other):
        shutil.copytree(folders["clip"], folder)

    def snapshot_download(name: str, revision: str | None, local_files_only: bool, **_: object) -> str:
        assert name == "somebody/model"
        found = {None: other, "main": other, "c0ffee": commit, "refs/pr/7": commit}.get(revision)
        if found is None:
            raise LocalEntryNotFoundError("Revision Not Found")
        return str(found)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(hub, "is_reachable", lambda name: True)
    assert load_model("somebody/model").revision == "beef"
    for name in ("somebody/model@c0ffee", "somebody/model@refs/pr/7"):
        model = load_model(name)
        assert (model.name, model.revision) == (name, "c0ffee")
    assert pinned("somebody/model@main", model.revision) == "somebody/model@c0ffee"
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match="'somebody/model' cannot be fetched at revision 'nowhere'"):
        load_model("somebody/model@nowhere")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"would be fetched from https://.*/somebody/model/tree/nowhere"):
        load_model("somebody/model@nowhere")
    assert load_model(str(folders["clip"])).revision == ""
    assert pinned("bundled", "") == "bundled"
