"""Tasks of a cluster, carried out in this process: in another order, twice, and after damage."""

from functools import partial

import pytest

from features.test_store import ROWS, Model, same, samples  # noqa: F401
from srrs.errors import ModelError
from srrs.features import tasks
from srrs.features.store import encode
from srrs.features.tasks import Workers


def backwards(function, jobs, *, gpu=False):
    """A cluster that finishes the last job first and begins each job again after its worker was lost."""
    for at in reversed(range(len(jobs))):
        function(jobs[at])
        yield at, function(jobs[at])


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(tasks, "TOGETHER", 2)
    return Model()


def test_tasks_give_the_bits_of_one_process_and_encode_nothing_twice(samples, model, tmp_path):  # noqa: F811
    steps, workers = [], Workers(backwards, lambda: model)
    given = partial(encode, samples, ROWS, Model(), views=2, batch=2, cache=tmp_path, elsewhere=workers)
    first = given(progress=lambda *step: steps.append(step))
    assert same(first, encode(samples, ROWS, Model(), views=2, batch=2))
    assert model.encoded == 11 * 3
    assert steps[-1] == (33, 33)
    assert len(list(tmp_path.rglob("plain-*.safetensors"))) == 3
    assert same(given(), first)
    assert model.encoded == 11 * 3
    next(tmp_path.rglob("plain-*.safetensors")).write_bytes(b"damaged")
    assert same(given(), first)
    assert 11 * 3 < model.encoded <= 11 * 3 + 4


def test_a_worker_with_another_model_is_refused(samples, model, tmp_path):  # noqa: F811
    workers = Workers(backwards, lambda: Model("other"))
    with pytest.raises(ModelError, match="same model on the same kind of processor in all workers"):
        encode(samples, ROWS, model, cache=tmp_path, elsewhere=workers)
