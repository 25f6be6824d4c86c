"""Models of open_clip against open_clip itself; the extra has an environment of its own: `make test-open-clip`."""

import json
import logging
import shutil
import sys
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from srrs import RobustClassifier
from srrs.cli import main
from srrs.errors import MissingExtraError, ModelError
from srrs.models import openclip_weights
from srrs.models.hub import absolute_name, load_model
from srrs.models.openclip import OpenClipEncoder, preprocessing_of
from srrs.tuners.prompt import PromptLayout

needs_open_clip = pytest.mark.skipif(find_spec("open_clip") is None, reason="needs open_clip: make test-open-clip")

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 3}
RESNET = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8}
SMALL: dict[str, Any] = {"embed_dim": 24, "vision_cfg": RESNET, "text_cfg": TEXT}
VARIANTS: dict[str, dict[str, Any]] = {
    "quick gelu": SMALL | {"quick_gelu": True},
    "gelu": SMALL,
    "vit": SMALL | {"vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8}},
    "custom text": SMALL | {"custom_text": True, "text_cfg": TEXT | {"proj_bias": True, "context_length": 40}},
    "layer scale": SMALL | {"text_cfg": TEXT | {"ls_init_value": 0.3}},
    "no projection": SMALL | {"embed_dim": 32, "text_cfg": TEXT | {"proj_type": "none"}},
}
NAMES = ("cat", "Grand piano", "sea horse", "joshua tree, a very tall & old one")
WORDS = "a photo of a"


def build(folder: Path, config: dict[str, Any], preprocessing: dict[str, Any] | None = None) -> Path:
    """A random model as open_clip writes it: a configuration and weights."""
    import open_clip

    folder.mkdir(parents=True)
    settings = {"model_cfg": config, "preprocess_cfg": preprocessing or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    logging.getLogger().addHandler(logging.NullHandler())  # lest open_clip gives the root logger a handler for good
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    with torch.no_grad():  # a fresh model barely tells its inputs apart
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.mul_(2.0)
            elif "ln_" not in name and weight.ndim == 1:
                weight.add_(torch.randn_like(weight) * 0.05)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("open_clip")
    return {name: build(base / name.replace(" ", "-"), config) for name, config in VARIANTS.items()}


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["quick gelu"], tmp_path / "copy"))


@pytest.fixture(scope="module")
def rn50(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OpenAI's RN50 in its full size, with random weights."""
    import open_clip

    torch.manual_seed(0)
    logging.getLogger().addHandler(logging.NullHandler())
    model = open_clip.create_model("RN50", pretrained=None, force_quick_gelu=True)
    file = tmp_path_factory.mktemp("rn50") / "rn50.safetensors"
    save_file(model.state_dict(), file)
    return file


def own_forward(model: Any, texts: list[str], context: Tensor) -> Tensor:
    """open_clip's `encode_text` at full length, the vectors behind the start token replaced by the context."""
    import open_clip

    text = getattr(model, "text", model)
    ids = open_clip.SimpleTokenizer(context_length=text.context_length)(texts)
    vectors = text.token_embedding(ids)
    replaced = torch.cat([vectors[:, :1], context.expand(len(texts), -1, -1), vectors[:, 1 + len(context) :]], dim=1)
    handle = text.token_embedding.register_forward_hook(lambda module, inputs, output: replaced)
    features = model.encode_text(ids, normalize=True)
    handle.remove()
    return features


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def check_text_pass(model: OpenClipEncoder, plain: OpenClipEncoder, seed: int = 0) -> None:
    """Logits and the gradient of a learned context: ours beside open_clip's own in float64.

    `plain` is the same model on torch's own layers, as packed ones have no float64.
    """
    draw = torch.Generator().manual_seed(seed)
    learner = PromptLayout(model, NAMES, context=WORDS)
    with torch.no_grad():
        learner.context += torch.randn(learner.context.shape, generator=draw) * 0.02
    context = learner.context.detach()[0].double().requires_grad_()
    images = torch.nn.functional.normalize(torch.randn(5, model.feature_size, generator=draw), dim=-1)

    ours = model.logit_scale * images @ model.encode_prompts(learner()).T
    exact = deepcopy(plain.model).double()
    features = own_forward(exact, [f"{WORDS} {name}." for name in NAMES], context)
    theirs = exact.logit_scale.exp() * images.double() @ features.T
    target = torch.tensor([0, 1, 2, 3, 0])
    for logits in (ours, theirs):
        torch.nn.functional.cross_entropy(logits, target).backward()
    assert relative(ours.detach(), theirs.detach()) <= 1e-5
    assert learner.context.grad is not None
    assert context.grad is not None
    assert relative(learner.context.grad[0], context.grad) <= 3e-5
    assert context.grad.abs().max() > 0


def open_clip_model(
    source: object, precision: str = "auto", kernels: Literal["auto", "torch"] = "auto"
) -> OpenClipEncoder:
    model = load_model(f"open_clip:{source}", device="cpu", precision=precision, kernels=kernels)
    assert isinstance(model, OpenClipEncoder)
    return model


@needs_open_clip
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_text_pass_is_open_clips_own_in_logits_and_context_gradients(folders, variant: str) -> None:
    check_text_pass(open_clip_model(folders[variant]), open_clip_model(folders[variant], kernels="torch"))


@needs_open_clip
def test_rn50_has_openais_activation_whatever_way_its_weights_are_found(rn50: Path, monkeypatch) -> None:
    import open_clip

    named = open_clip_model(f"RN50-quickgelu/{rn50}")
    check_text_pass(named, open_clip_model(f"RN50-quickgelu/{rn50}", kernels="torch"))
    assert (named.feature_size, named.token_size, named.context_length) == (1024, 512, 77)
    assert named.model.visual.attnpool is not None
    monkeypatch.setattr(openclip_weights, "is_reachable", lambda name: True)
    monkeypatch.setattr(open_clip.pretrained, "download_pretrained", lambda tag: str(rn50))
    tagged = open_clip_model("RN50/openai")
    assert tagged.fingerprint == named.fingerprint
    assert type(tagged.model.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    assert open_clip_model(f"RN50/{rn50}").fingerprint != named.fingerprint


@needs_open_clip
@pytest.mark.parametrize("variant", ["quick gelu", "vit", "custom text"])
def test_image_features_are_open_clips_own(folders, variant: str) -> None:
    import open_clip

    reference, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folders[variant]}")
    model = open_clip_model(folders[variant])
    images = [picture(61, 45), picture(45, 62)]
    with torch.no_grad():
        theirs = reference.eval().encode_image(torch.stack([transform(image) for image in images]), normalize=True)
    features = model.encode_images(torch.stack([model.preprocess(image) for image in images]))
    torch.testing.assert_close(features, theirs)
    assert features.shape == (2, model.feature_size)
    assert not features.requires_grad
    assert not any(p.requires_grad for p in model.model.parameters())
    assert model.logit_scale == pytest.approx(1 / 0.07)


SIZES = [(64, 64), (33, 57), (57, 33), (224, 31), (9, 120), (97, 96), (20, 20), (113, 64)]
SETTINGS = {
    "OpenAI": {"size": 64, "resize_mode": "shortest", "interpolation": "bicubic"},
    "odd": {"size": (37, 37), "resize_mode": "shortest", "interpolation": "bicubic"},
    "MobileCLIP": {"size": 48, "resize_mode": "shortest", "interpolation": "bilinear", "mean": (0,) * 3},
    "squashed": {"size": 48, "resize_mode": "squash", "interpolation": "bicubic", "std": (0.5,) * 3},
    "oblong": {"size": (40, 56), "resize_mode": "squash", "interpolation": "bilinear"},
}


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@needs_open_clip
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("size", SIZES)
def test_preprocessing_gives_the_bits_of_open_clips_transform(name: str, size: tuple[int, int]) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    settings = PreprocessCfg(**SETTINGS[name])
    theirs = image_transform_v2(settings, is_train=False)(picture(*size))
    ours = preprocessing_of(vars(settings), "this")
    assert torch.equal(ours.plain(picture(*size)), theirs)
    assert ours.to_json()["resample"] == (2 if settings.interpolation == "bilinear" else 3)


@pytest.mark.parametrize(("mode", "size"), [("longest", 64), ("shortest", (40, 56))])
def test_preprocessing_that_pads_or_cuts_oblongs_is_refused(mode: str, size: object) -> None:
    settings = {"size": size, "resize_mode": mode, "interpolation": "bicubic", "mean": (0,) * 3, "std": (1,) * 3}
    with pytest.raises(ModelError, match=f"squashes an image or cuts a square, but that of 'x' has .*{mode}"):
        preprocessing_of(settings, "x")


@needs_open_clip
def test_tokens_between_start_and_end_are_the_tokenizers_own(folders) -> None:
    import open_clip

    model = open_clip_model(folders["gelu"])
    for text in ("a photo of a Grand Piano.", "caf\u00e9 &amp; bar, 1 2 3", ""):
        ids = [*model.start, *model.tokens(text), *model.end]
        theirs = open_clip.get_tokenizer("RN50")([text])[0]
        assert ids == theirs[: len(ids)].tolist()
        assert not theirs[len(ids) :].any()
    assert model.embed(model.tokens("a cat")).shape == (2, model.token_size)
    assert open_clip_model(folders["custom text"]).context_length == 40


@needs_open_clip
def test_the_fingerprint_changes_with_weights_activation_preprocessing_and_precision_alone(copy: Path) -> None:
    seen = [open_clip_model(copy).fingerprint, open_clip_model(copy, "bf16").fingerprint]
    config = json.loads((copy / "open_clip_config.json").read_text())
    for change in ({"preprocess_cfg": {"interpolation": "bilinear"}}, {"model_cfg": VARIANTS["gelu"]}):
        (copy / "open_clip_config.json").write_text(json.dumps(config | change))
        seen.append(open_clip_model(copy).fingerprint)
    weights = load_file(copy / "open_clip_model.safetensors")
    weights["visual.bn1.running_mean"][0] += 1e-3
    save_file(weights, copy / "open_clip_model.safetensors")
    seen.append(open_clip_model(copy).fingerprint)
    assert len(set(seen)) == 5
    assert open_clip_model(copy.rename(copy.with_name("elsewhere"))).fingerprint == seen[-1]


@needs_open_clip
@pytest.mark.parametrize("variant", ["quick gelu", "vit", "custom text"])
def test_half_precision_gives_float32_unit_features_near_the_exact_ones(folders, variant: str) -> None:
    exact, half = open_clip_model(folders[variant]), open_clip_model(folders[variant], "bf16")
    pixels = torch.randn(2, 3, *exact.preprocess(picture(9, 9)).shape[-2:])
    for name in ("encode_images", "prompts"):
        one, other = (
            m.encode_images(pixels) if name == "encode_images" else m.encode_prompts(PromptLayout(m, NAMES)()).detach()
            for m in (exact, half)
        )
        assert other.dtype == torch.float32
        assert float((one * other).sum(1).min()) > 0.99
    assert half.logit_scale == exact.logit_scale


@needs_open_clip
def test_a_checkpoint_in_a_file_or_alone_in_a_folder_is_the_same_model(rn50: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": load_file(rn50), "epoch": 3}, tmp_path / "epoch_3.pt")
    wanted = open_clip_model(f"RN50-quickgelu/{rn50}").fingerprint
    assert open_clip_model(f"RN50-quickgelu/{tmp_path}").fingerprint == wanted
    assert open_clip_model(f"RN50-quickgelu/{tmp_path / 'epoch_3.pt'}").fingerprint == wanted
    (tmp_path / "epoch_2.pt").touch()
    with pytest.raises(ModelError, match=r"one checkpoint in .* but found epoch_2\.pt, epoch_3\.pt: name the file"):
        load_model(f"open_clip:RN50-quickgelu/{tmp_path}")


@needs_open_clip
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rn-50/openai", "knows no architecture 'rn-50' .* Did you mean RN50"),
        ("", "knows no architecture ''.* Did you mean RN50"),
        ("RN50", "weights of RN50 behind the slash, but found ''.*openai, yfcc15m, cc12m"),
        ("RN50/opanai", "found 'opanai': give a checkpoint's path, .*openai, yfcc15m"),
        ("ViT-B-16-SigLIP/webli", "CLIP's own text tower, but the one of .* is not causal"),
        ("coca_ViT-B-32/laion2b_s13b_b90k", "is read at a token of its own"),
        ("roberta-ViT-B-32/laion2b_s12b_b32k", "is one of transformers"),
        ("ViT-H-14-worldwide/metaclip2_worldwide", "has a tokenizer of its own, is not read at the end token"),
        ("RN50/yfcc15m", r"neither on disk nor reachable \(the hub does not answer\): give the path"),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_name(name: str, message: str, monkeypatch) -> None:
    monkeypatch.setattr(openclip_weights, "is_reachable", lambda name: False)
    with pytest.raises(ModelError, match=message):
        load_model(f"open_clip:{name}")


@needs_open_clip
def test_known_weights_in_the_hubs_cache_are_read_without_asking_the_hub(monkeypatch, rn50: Path) -> None:
    asked = []

    def cached(repository: str, file: str) -> str | None:
        asked.append((repository, file))
        return str(rn50) if file.endswith(".bin") else None

    monkeypatch.setattr(openclip_weights, "try_to_load_from_cache", cached)
    monkeypatch.setattr(openclip_weights, "is_reachable", lambda name: pytest.fail("the hub was asked"))
    monkeypatch.setattr(
        openclip_weights, "load", lambda library, source, name: openclip_weights._fetch(library, source.tag, name)
    )
    with pytest.raises(ModelError, match="'PosixPath' object has no attribute 'eval'"):  # the path in place of a model
        load_model("open_clip:RN50/openai")
    assert asked == [
        ("timm/resnet50_clip.openai", f) for f in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    ]


@needs_open_clip
def test_a_download_that_breaks_off_says_why(monkeypatch) -> None:
    import open_clip

    def fail(tag: dict[str, Any]) -> str:
        raise OSError("No space left on device\nand more")

    monkeypatch.setattr(openclip_weights, "is_reachable", lambda name: True)
    monkeypatch.setattr(open_clip.pretrained, "download_pretrained", fail)
    with pytest.raises(ModelError, match=r"nor reachable \(No space left on device and more\): give the path"):
        load_model("open_clip:RN50/openai")


@needs_open_clip
def test_weights_that_do_not_fit_or_are_broken_are_refused(copy: Path, tmp_path: Path) -> None:
    weights = load_file(copy / "open_clip_model.safetensors")
    del weights["text_projection"]
    save_file(weights, copy / "open_clip_model.safetensors")
    with pytest.raises(ModelError, match=r"weights of .* cannot be loaded: .*Missing key.*text_projection"):
        open_clip_model(copy)
    (copy / "open_clip_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match=r"weights of .* cannot be loaded"):
        open_clip_model(copy)
    (copy / "open_clip_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks weights: no file \*\.safetensors, \*\.pt"):
        open_clip_model(copy)
    with pytest.raises(ModelError, match=r"says itself what model it holds: give open_clip:.*copy"):
        load_model(f"open_clip:RN50/{copy}")
    for file in ("empty.pt", "words.npz"):
        (tmp_path / file).touch()
    with pytest.raises(ModelError, match=r"weights of .* cannot be loaded"):
        load_model(f"open_clip:RN50/{tmp_path / 'empty.pt'}")
    with pytest.raises(ModelError, match=r"Expected a checkpoint \*\.safetensors, .* but found .*words\.npz"):
        load_model(f"open_clip:RN50/{tmp_path / 'words.npz'}")


class Hostile:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("code from a model",)


@needs_open_clip
def test_code_in_a_checkpoint_is_never_run(tmp_path: Path, capsys) -> None:
    torch.save({"state_dict": Hostile()}, tmp_path / "hostile.pt")
    with pytest.raises(ModelError, match=r"weights of .* cannot be loaded"):
        load_model(f"open_clip:RN50/{tmp_path / 'hostile.pt'}")
    assert "code from a model" not in capsys.readouterr().out


@needs_open_clip
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_torchscript_archive_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "RN50.pt")
    with pytest.raises(
        ModelError, match=r"TorchScript archive, which holds code\. Save its state_dict\(\) as safetensors"
    ):
        load_model(f"open_clip:RN50/{tmp_path / 'RN50.pt'}")


@needs_open_clip
@pytest.mark.parametrize("text", ["{", "[]", '{"model_cfg": {}}', '{"model_cfg": {"text_cfg": 3}}'])
def test_a_configuration_that_cannot_be_read_is_named(copy: Path, text: str) -> None:
    (copy / "open_clip_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"model_cfg and its text_cfg in .*open_clip_config\.json"):
        open_clip_model(copy)


@needs_open_clip
def test_an_own_kind_of_attention_is_refused(copy: Path) -> None:
    config = SMALL | {"text_cfg": TEXT | {"scale_heads": True, "block_type": "custom"}}
    (copy / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    with pytest.raises(ModelError, match="scales its heads, has blocks of the type custom"):
        open_clip_model(copy)


@needs_open_clip
def test_loading_leaves_the_root_logger_as_it_was(folders) -> None:
    before = list(logging.getLogger().handlers), logging.root.manager.disable
    open_clip_model(folders["gelu"])
    assert (logging.getLogger().handlers, logging.root.manager.disable) == before


def test_a_name_with_a_path_is_made_absolute_and_others_stay(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights.pt").touch()
    Path("own").mkdir()
    assert absolute_name("open_clip:RN50/weights.pt") == f"open_clip:RN50/{tmp_path / 'weights.pt'}"
    assert absolute_name("open_clip:own") == "open_clip:own"
    (Path("own") / "open_clip_config.json").touch()
    assert absolute_name("open_clip:own") == f"open_clip:{tmp_path / 'own'}"
    assert absolute_name("own") == str(tmp_path / "own")
    for name in ("open_clip:RN50/openai", "openai/clip-vit-base-patch32", "bundled"):
        assert absolute_name(name) == name


def test_without_open_clip_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"needs the package open_clip_torch: pip install 'srrs\[open-clip\]'"):
        load_model("open_clip:RN50/openai")


def test_an_open_clip_that_cannot_be_imported_says_why(monkeypatch, tmp_path: Path) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "open_clip"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    for line, message in (
        ("raise RuntimeError('operator torchvision::nms does not exist')", "nms does not exist. Its torchvision must"),
        ("import no_such_package_at_all", "lacks the package no_such_package_at_all"),
    ):
        (tmp_path / "open_clip").mkdir(exist_ok=True)
        (tmp_path / "open_clip" / "__init__.py").write_text(line)
        with pytest.raises(ModelError, match=message):
            load_model("open_clip:RN50/openai")


FAST = {"matcher": "none", "device": "cpu", "steps": 4, "views": 1}


@needs_open_clip
def test_a_classifier_saved_with_a_relative_path_predicts_the_same_from_elsewhere(
    copy: Path, photos: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(copy.parent)
    classifier = RobustClassifier(f"open_clip:{copy.name}", method="coop-two", **FAST).fit(photos)
    classifier.save(tmp_path / "saved")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = RobustClassifier.load(tmp_path / "saved").predict_proba(photos)
    np.testing.assert_array_equal(again, classifier.predict_proba(photos))
    assert again.std(0).max() > 1e-4  # it tells pictures apart


@needs_open_clip
def test_the_commands_take_it(folders, photos: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    def srrs(*words: object) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["srrs", *map(str, words), "--json"])
        status: object = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        assert not status, printed.err
        return dict(json.loads(printed.out))

    name = f"open_clip:{folders['vit']}"
    fast = ("--model", name, "--matcher", "none", "--device", "cpu", "--set", "steps=4", "--set", "views=1")
    srrs("audit", photos, "--out", tmp_path / "audit", *fast)
    assert len((tmp_path / "audit" / "audit.csv").read_text().splitlines()) == 1 + 18
    srrs("fit", photos, "--out", tmp_path / "model", *fast)
    srrs("predict", tmp_path / "model", photos, "--out", tmp_path / "predictions.csv")
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 1 + 18
    grid = ("--methods", "zero-shot,coop", "--noise", "sym:0.5", "--shots", "2", "--seeds", "1")
    root = published(photos, tmp_path / "data")
    records = srrs("bench", "--dataset", "caltech101", "--root", root, *grid, "--out", tmp_path / "runs", *fast)[
        "records"
    ]
    assert [(r["method"], r["model"]) for r in records] == [("zero-shot", name), ("coop", name)]


def published(photos: Path, root: Path) -> Path:
    """The photographs laid out as Caltech101 is published."""
    images = shutil.copytree(photos, root / "caltech101" / "101_ObjectCategories")
    rows = [
        (f"{f.name}/{p.name}", k, f.name) for k, f in enumerate(sorted(images.iterdir())) for p in sorted(f.iterdir())
    ]
    split = {part: rows for part in ("train", "val", "test")}
    (root / "caltech101" / "split_zhou_Caltech101.json").write_text(json.dumps(split))
    return root
