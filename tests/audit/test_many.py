"""Two hundred thousand embeddings: reading, auditing and writing take time in proportion to their number."""

import time

import numpy as np

from srrs.audit.rows import Rows
from srrs.audit.table import Audit
from srrs.data.inputs import read_inputs
from srrs.data.pictures import file_of
from srrs.records import Evidence, Group, Matched, NoiseEstimate, Partition, Round, Targets

COUNT, CLASSES = 200_000, 20


def test_two_hundred_thousand_embeddings_take_seconds(tmp_path) -> None:
    rng = np.random.default_rng(0)
    labels, wrong = rng.integers(0, CLASSES, COUNT), rng.random(COUNT) < 0.2
    names = np.array([f"class {code:02}" for code in range(CLASSES)])
    ids = np.array([f"{names[label]}/{number}.jpg" for number, label in enumerate(labels)])
    vectors = rng.normal(size=(COUNT, 8)).astype(np.float32)
    np.savez(tmp_path / "all.npz", embeddings=vectors, labels=names[labels], ids=ids)
    started = time.process_time()

    samples = read_inputs(tmp_path / "all.npz").samples
    keys = samples.content_keys
    assert len(np.unique(keys)) == COUNT

    group = np.where(wrong, Group.NOISY, Group.CLEAN)
    suggested = np.where(wrong, (labels + 1) % CLASSES, labels)
    quality = rng.random(COUNT)
    partition = Partition(group, quality, NoiseEstimate(0.2, 0.19, 0.21))
    targets = Targets(np.eye(CLASSES, dtype=np.float32)[suggested], np.ones(COUNT))
    nothing = Matched(np.ones(COUNT, bool), np.full(COUNT, np.nan))
    last = Round(Evidence(keys, labels, CLASSES), partition, targets, nothing, quality)
    paths, given = tuple(map(file_of, samples.paths)), np.asarray(samples.labels)
    rows = Rows(samples.ids, paths, given, samples.class_names, samples.issues)
    audit = Audit.of(rows, np.arange(COUNT), last, {}, predicted={"zero_shot": suggested}, features=vectors)

    assert audit.summary().changed == wrong.sum()
    audit.to_csv(tmp_path / "audit.csv")
    back = Audit.from_json(audit.to_json(tmp_path / "audit.json"))
    assert back.summary().to_dict() == audit.summary().to_dict()
    page = audit.report(tmp_path / "report.html", thumbnail=lambda row: None)
    assert page.stat().st_size < 8_000_000
    assert time.process_time() - started < 60
