"""The text pass against each tower's own forward on prompts of full length."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import CLIPModel

import support
from srrs.errors import ModelError
from srrs.models import textpass
from srrs.models.base import Prompts
from srrs.models.textpass import CausalTower, causal_text_pass

END = 578
LENGTHS = [9, 6, 31, 6, 77, 12, 8, 20]


def make_prompts(context: Tensor, lengths: list[int], *, start: int = 1, same_context: bool = True) -> Prompts:
    """Start, context and random tokens in rows of the given lengths; the context is shared or one per row."""
    rows, width = len(lengths), context.shape[-1]
    draw = torch.Generator().manual_seed(1)
    first = torch.randn(1, start, width, generator=draw).expand(rows, -1, -1)
    own = torch.randn(rows, max(lengths) - start - context.shape[-2], width, generator=draw)
    embeddings = torch.cat([first, context.expand(rows, -1, -1), own], dim=1)
    shared = start + context.shape[-2] if same_context else start
    return Prompts.of(embeddings, torch.tensor(lengths), shared)


def read_prompts(lengths: list[int], shared: int = 5) -> Prompts:
    """Start, a learned context of 4 and random tokens, all read from a table of 50 known vectors."""
    draw = torch.Generator().manual_seed(3)
    known, learned = torch.randn(50, 32, generator=draw), torch.randn(4, 32, generator=draw, requires_grad=True)
    source = torch.randint(1, 50, (len(lengths), max(lengths)), generator=draw)
    source[:, :5] = torch.tensor([0, 50, 51, 52, 53])
    return Prompts(known, learned, source, torch.tensor(lengths), shared, torch.arange(len(lengths)))


def own_forward(model: CLIPModel, prompts: Prompts) -> Tensor:
    """The model's `get_text_features` at 77 positions, its token embeddings replaced by the prompts."""
    rows = len(prompts.length)
    embeddings = torch.nn.functional.pad(prompts.embeddings, (0, 0, 0, 77 - prompts.embeddings.shape[1]), value=0.7)
    ids = torch.ones(rows, 77, dtype=torch.long)
    ids[torch.arange(rows), prompts.length - 1] = END
    tokens = model.text_model.get_input_embeddings()
    handle = tokens.register_forward_hook(lambda module, inputs, output: embeddings)
    features = model.get_text_features(input_ids=ids).pooler_output
    handle.remove()
    return features / features.norm(dim=-1, keepdim=True)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def compare(
    model: CLIPModel, context: Tensor, make: Callable[[Tensor], Prompts], chunk: int | None
) -> tuple[float, float]:
    """Relative differences of features and of the context's gradient."""
    tower = CausalTower.of(model.text_model, model.text_projection)
    results = []
    for encode in (lambda p: causal_text_pass(tower, p, chunk), lambda p: own_forward(model, p)):
        ctx = context.clone().requires_grad_()
        features = encode(make(ctx))
        weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(2))
        (features * weights).sum().backward()
        results.append((features.detach(), ctx.grad))
    (ours, our_grad), (theirs, their_grad) = results
    return relative(ours, theirs), relative(our_grad, their_grad)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CLIPModel]:
    variants = {
        "quick_gelu": {},
        "gelu": {"act": "gelu", "seed": 1},
        "legacy": {"legacy": True, "seed": 2},
        "deep": {"layers": 5, "act": "gelu", "seed": 3},
        "one layer": {"layers": 1, "seed": 4},
    }
    folder = tmp_path_factory.mktemp("clip")
    return {
        name: CLIPModel.from_pretrained(support.tiny_clip(folder / name, **kwargs)).requires_grad_(False)
        for name, kwargs in variants.items()
    }


@pytest.mark.parametrize("variant", ["quick_gelu", "gelu", "legacy", "deep", "one layer"])
@pytest.mark.parametrize("chunk", [None, 3, 1])
def test_equals_the_towers_own_pass_in_outputs_and_context_gradients(models, variant: str, chunk: int | None) -> None:
    context = torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(0))
    outputs, gradients = compare(models[variant], context, lambda c: make_prompts(c, LENGTHS), chunk)
    assert outputs <= 1e-5
    assert gradients <= 1e-5


@pytest.mark.parametrize("chunk", [None, 3])
def test_is_exact_for_contexts_of_their_own_and_for_nothing_shared(models, chunk: int | None) -> None:
    context = torch.randn(len(LENGTHS), 4, 32, generator=torch.Generator().manual_seed(0))
    for start in (1, 0):
        outputs, gradients = compare(
            models["gelu"], context, lambda c, s=start: make_prompts(c, LENGTHS, start=s, same_context=False), chunk
        )
        assert outputs <= 1e-5
        assert gradients <= 1e-5


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(4, 77), min_size=1, max_size=6),
    tokens=st.integers(0, 2),
    chunk=st.sampled_from([None, 1, 2]),
)
def test_is_exact_for_any_lengths(models, lengths: list[int], tokens: int, chunk: int | None) -> None:
    context = torch.randn(1, tokens, 32, generator=torch.Generator().manual_seed(0))
    tower = CausalTower.of(models["deep"].text_model, models["deep"].text_projection)
    prompts = make_prompts(context, lengths)
    assert relative(causal_text_pass(tower, prompts, chunk), own_forward(models["deep"], prompts)) <= 1e-5


def test_what_stands_behind_the_end_token_changes_nothing(models) -> None:
    tower = CausalTower.of(models["gelu"].text_model, models["gelu"].text_projection)
    prompts = make_prompts(torch.randn(1, 4, 32), LENGTHS)
    padding = torch.arange(77) >= prompts.length[:, None]
    changed = torch.where(padding[..., None], torch.tensor(1e3), prompts.embeddings)
    moved = Prompts.of(changed, prompts.length, prompts.shared)
    torch.testing.assert_close(causal_text_pass(tower, moved), causal_text_pass(tower, prompts))


def test_parts_hold_every_row_once_and_about_as_many_tokens(models, monkeypatch) -> None:
    tower = CausalTower.of(models["deep"].text_model, models["deep"].text_projection)
    own = torch.tensor([5, 5, 5, 5, 7, 9, 12, 30, 50])
    cpu, gpu = torch.device("cpu"), torch.device("meta")
    assert [len(part) for part in textpass._parts(own, tower, cpu, None)] == [9]  # too little work to split
    assert [len(part) for part in textpass._parts(own, tower, cpu, 4)] == [4, 4, 1]

    monkeypatch.setattr(textpass, "PARTS", 4)
    monkeypatch.setattr(textpass, "LEAST_PART_TOKENS", 16)
    monkeypatch.setattr(textpass, "LEAST_PART_WORK", 1)
    for tokens, most in ((256, 4), (16, 8)):
        monkeypatch.setattr(textpass, "PART_TOKENS", tokens)
        parts = textpass._parts(own, tower, cpu, None)
        assert torch.cat(parts).equal(own)
        assert 2 < len(parts) <= most
    assert len(textpass._parts(own, tower, gpu, None)) == 1
    assert len(textpass._parts(own.repeat(33).sort()[0], tower, gpu, None)) == 3


@pytest.mark.parametrize("context", ["shared", "class"])
def test_the_number_of_threads_changes_no_bit(models, monkeypatch, context: str) -> None:
    tower = CausalTower.of(models["quick_gelu"].text_model, models["quick_gelu"].text_projection)
    monkeypatch.setattr(textpass, "LEAST_PART_WORK", 1)
    start = torch.randn(1 if context == "shared" else len(LENGTHS), 4, 32)
    results = []
    threads = torch.get_num_threads()
    monkeypatch.setattr(textpass, "LEAST_PART_TOKENS", 8)
    for parts, count in ((1, 1), (4, 1), (4, 2), (4, 3)):
        monkeypatch.setattr(textpass, "PARTS", parts)
        torch.set_num_threads(count)
        learned = start.clone().requires_grad_()
        features = causal_text_pass(tower, make_prompts(learned, LENGTHS, same_context=context == "shared"))
        features.square().cumsum(1).sum().backward()
        assert torch.get_num_threads() == count
        torch.set_num_threads(threads)
        results.append((features.detach(), learned.grad))
    together, *split = results
    for features, gradient in split:
        torch.testing.assert_close(features, together[0])
        torch.testing.assert_close(gradient, together[1], rtol=1e-4, atol=1e-6)
        assert torch.equal(features, split[0][0])  # whatever the number of threads
        assert torch.equal(gradient, split[0][1])


def test_memory_kept_for_the_backward_pass_does_not_grow_with_the_classes(models) -> None:
    tower = CausalTower.of(models["deep"].text_model, models["deep"].text_projection)

    def kept(classes: int) -> int:
        """Bytes that autograd keeps alive from the forward to the backward pass, each storage once."""
        prompts = read_prompts([12] * classes)
        storages: dict[int, int] = {}
        alive = []

        def count(tensor: Tensor) -> Tensor:
            alive.append(tensor)
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            causal_text_pass(tower, prompts, rows=16)
        return sum(storages.values())

    row = 8 * 12 + 4 * (12 * 32 + 3 * 24 + 32)  # bytes: where one more prompt reads, its vectors, its result
    assert kept(96) - kept(48) <= 48 * row


@pytest.mark.parametrize("shared", [5, 1, 0], ids=["context in the prefix", "context behind it", "no prefix"])
@pytest.mark.parametrize("chunk", [None, 3])
def test_reading_tokens_from_a_table_equals_having_their_vectors(models, chunk: int | None, shared: int) -> None:
    tower = CausalTower.of(models["quick_gelu"].text_model, models["quick_gelu"].text_projection)
    prompts = read_prompts(LENGTHS, shared)
    spelled = Prompts.of(prompts.embeddings.detach().requires_grad_(), prompts.length, shared)
    gradients = []
    for made, learned in ((prompts, prompts.learned), (spelled, spelled.learned)):
        features = causal_text_pass(tower, made, chunk)
        (gradient,) = torch.autograd.grad(features[:, 0].sum(), learned)
        gradients.append((features.detach(), gradient))
    (ours, by_token), (theirs, by_position) = gradients
    torch.testing.assert_close(ours, theirs)
    context = by_position.view(*prompts.source.shape, -1)[:, 1:5].sum(0)  # every row has its own copy there
    torch.testing.assert_close(by_token, context, rtol=1e-4, atol=1e-6)


def test_every_precision_trains(models) -> None:
    tower = CausalTower.of(models["gelu"].text_model, models["gelu"].text_projection)
    context = torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    exact = causal_text_pass(tower, make_prompts(context, LENGTHS))
    model = CLIPModel(models["gelu"].config)
    model.load_state_dict(models["gelu"].state_dict())
    model.to(torch.bfloat16)
    features = causal_text_pass(CausalTower.of(model.text_model, model.text_projection), make_prompts(context, LENGTHS))
    features[:, 0].sum().backward()
    assert features.dtype == torch.float32
    assert context.grad.abs().sum() > 0
    assert float((features * exact).sum(1).min().detach()) > 0.98


def test_a_prompt_longer_than_the_context_is_named(models) -> None:
    tower = CausalTower.of(models["gelu"].text_model, models["gelu"].text_projection)
    with pytest.raises(ModelError, match="at most 77 tokens, but row 1 has 80"):
        causal_text_pass(tower, make_prompts(torch.randn(1, 4, 32), [9, 80]))
    with pytest.raises(ModelError, match="an end token behind the 5 shared tokens"):
        causal_text_pass(tower, make_prompts(torch.randn(1, 4, 32), [9, 5]))


def test_the_tiny_models_tell_their_prompts_apart(models) -> None:
    features = own_forward(models["gelu"], make_prompts(torch.randn(1, 4, 32), LENGTHS))
    similarity = features @ features.T
    assert float(similarity.fill_diagonal_(-1).max()) < 0.999
