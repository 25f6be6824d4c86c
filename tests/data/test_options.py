import pytest

from srrs.data.inputs import read_inputs
from srrs.data.options import ReadKeywords, ReadOptions
from srrs.data.samples import from_csv, from_folder, from_frame, from_paths, read


@pytest.mark.parametrize("reader", [read, from_csv, from_folder, from_frame, from_paths, read_inputs])
def test_a_misspelled_keyword_is_refused_with_the_nearest_name(reader):
    with pytest.raises(TypeError, match=rf"{reader.__name__}\(\) got .* 'label_colum'. Did you mean 'label_column'\?"):
        reader("nowhere", label_colum="kind")


def test_a_keyword_that_is_like_none_lists_those_there_are():
    with pytest.raises(TypeError, match=r"'zzz'\. Known are images, path_column"):
        ReadOptions.of("read", zzz=1)


def test_keywords_and_record_have_the_same_fields():
    assert list(ReadKeywords.__annotations__) == list(ReadOptions.__dataclass_fields__)
