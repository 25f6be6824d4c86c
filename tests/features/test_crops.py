import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srrs.features.crops import RATIO, SCALE, view_boxes

sizes = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


@given(key=st.text(), size=sizes, views=st.integers(0, 6), more=st.integers(0, 6), seed=st.integers(0, 2**40))
def test_the_first_views_do_not_depend_on_how_many_there_are(key, size, views, more, seed):
    assert view_boxes(key, size, views + more, seed)[:views] == view_boxes(key, size, views, seed)


@given(keys=st.lists(st.text(), min_size=1, max_size=5, unique=True), data=st.data())
def test_views_do_not_depend_on_the_order_of_pictures(keys, data):
    other = data.draw(st.permutations(keys))
    drawn = {key: view_boxes(key, (64, 48), 3, 0) for key in keys}
    assert drawn == {key: view_boxes(key, (64, 48), 3, 0) for key in other}


@given(size=sizes, key=st.text())
def test_boxes_lie_in_the_picture(size, key):
    for (left, top, right, bottom), _ in view_boxes(key, size, 4, 0):
        assert 0 <= left < right <= size[0] + 1e-6
        assert 0 <= top < bottom <= size[1] + 1e-6


def test_boxes_have_the_area_and_shape_of_random_resized_crops():
    drawn = [view_boxes(str(key), (600, 500), 4, 0) for key in range(500)]
    boxes = np.array([box for views in drawn for box, _ in views])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area, ratio = width * height / 300_000, width / height
    assert SCALE[0] - 1e-9 <= area.min() < 0.27
    assert 0.9 < area.max() <= SCALE[1]
    assert RATIO[0] - 1e-9 <= ratio.min() < 0.77
    assert 1.29 < ratio.max() <= RATIO[1] + 1e-9
    assert np.mean([flip for views in drawn for _, flip in views]) == pytest.approx(0.5, abs=0.05)


def test_keys_seeds_and_views_draw_apart():
    a, b = view_boxes("a", (64, 64), 2, 0)
    assert len({a, b, *view_boxes("b", (64, 64), 2, 0), *view_boxes("a", (64, 64), 2, 1)}) == 6
