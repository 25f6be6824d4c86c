"""Encoding on a cluster. The batches of a run are divided into tasks, and each task writes one shard per view.

The name of a shard depends only on its batches. Therefore, if a worker is lost and its task runs again, the task does
not encode images whose features are on disk already.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srrs.cluster import Spread
from srrs.data.pictures import Picture
from srrs.errors import ModelError
from srrs.features.shard_file import Shard, find_shard, pack_keys, write_shard
from srrs.features.shards import FeatureStore
from srrs.features.store import Job, Run, description
from srrs.models.base import ImageTower

TOGETHER = 16
"""Number of batches in a task."""


@dataclass(frozen=True)
class Task:
    """Some batches to encode."""

    load: Callable[[], ImageTower]
    """Function that returns the model."""
    description: dict[str, object]
    """Description of the model in the process that planned the batches."""
    folder: Path
    """Folder of the feature store, which all workers must see."""
    seed: int
    """Seed of the crops."""
    jobs: list[Job]
    paths: dict[str, Picture]
    """The images by key."""


@dataclass(frozen=True)
class Workers:
    """A cluster that encodes the batches of a run."""

    spread: Spread
    """Function that runs the tasks on the cluster."""
    load: Callable[[], ImageTower]
    """Function that returns the model. It is called once per process."""

    def __call__(self, run: Run, jobs: list[Job]) -> Iterator[int]:
        """Run the tasks. Yield the number of encoded views of images of each finished task."""
        assert run.store.folder is not None, "workers need a cache"
        tasks = []
        for start in range(0, len(jobs), TOGETHER):
            chunk = jobs[start : start + TOGETHER]
            paths = {key: run.paths[key] for key in _keys(chunk)}
            tasks.append(Task(self.load, description(run.model), run.store.folder, run.seed, chunk, paths))
        for _, count in self.spread(encode_task, tasks, gpu=run.model.device.type == "cuda"):
            yield count


def encode_task(task: Task) -> int:
    """Encode the batches of a task, write their shards, and return the number of views of images in the shards.

    Raises ModelError if this worker has another model or kind of device than the process that planned the task.
    """
    model = task.load()
    if description(model) != task.description:
        raise ModelError(
            "Expected the same model on the same kind of processor in all workers, but a worker differs from this "
            "process. Name the device with --device, and use machines of one kind."
        )
    run = Run(model, FeatureStore(None, model.feature_size), task.paths, task.seed, 0, None)
    keys = {view: pack_keys(_keys(task.jobs, view)) for view in sorted({view for job in task.jobs for view, _ in job})}
    lacking = [view for view in keys if find_shard(task.folder, run.name(view), keys[view], model.feature_size) is None]
    run.work([[(view, batch) for view, batch in job if view in lacking] for job in task.jobs])
    run.store.flush()
    for view in lacking:
        features = np.empty((len(keys[view]), model.feature_size), np.float16)
        run.store.gather(run.name(view), keys[view], features)
        write_shard(task.folder, run.name(view), Shard(keys[view], features))
    return sum(map(len, keys.values()))


def _keys(jobs: list[Job], view: int | None = None) -> list[str]:
    """Return the keys of the batches: those of a view, or of all views if `view` is None."""
    return [key for job in jobs for of, batch in job if view in (None, of) for key in batch]
