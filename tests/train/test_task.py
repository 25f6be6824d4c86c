from dataclasses import replace

import numpy as np

from srrs.core.keyed import content_keys


def test_the_plain_view_stands_first_and_the_mean_is_over_all(task) -> None:
    views = task.all_views.numpy()
    assert views.shape == (24, 3, task.model.feature_size)
    np.testing.assert_array_equal(views[:, 0], task.plain)
    np.testing.assert_array_equal(views[:, 1:], task.views)
    np.testing.assert_allclose(task.mean_view.numpy(), (task.plain + task.views.sum(1)) / 3, atol=1e-6)


def test_a_task_may_have_no_augmented_views(task) -> None:
    bare = replace(task, views=task.views[:, :0])
    np.testing.assert_array_equal(bare.mean_view.numpy(), task.plain)


def test_keys_are_those_of_the_plain_view(task) -> None:
    np.testing.assert_array_equal(task.keys, content_keys(task.plain))
    np.testing.assert_array_equal(replace(task, views=task.views[:, :1], labels=task.labels[::-1]).keys, task.keys)
