from pathlib import Path

import numpy as np
import pytest

from srrs.data.noise_files import read_given, read_matrix
from srrs.errors import DataError

NAMES = ("cat", "dog", "sea horse")


def test_a_matrix_of_counts_is_read_by_name_or_number(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(",sea_horse,cat,dog\ndog,0,1,1\ncat,0,4,0\nsea horse,5,3,2\n")
    expected = [[1, 0, 0], [0.5, 0.5, 0], [0.3, 0.2, 0.5]]
    np.testing.assert_allclose(read_matrix(tmp_path / "m.csv", NAMES), expected)
    (tmp_path / "n.csv").write_text("x;2;0;1\n1;0;1;1\n0;0;4;0\n2;5;3;2\n")
    np.testing.assert_allclose(read_matrix(tmp_path / "n.csv", NAMES), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,cat,dog,sea horse\ncat,1,0,0\ndog,0,1,0\n", "one line for each of the 3 classes in .*m.csv"),
        ("t,cat,dog\ncat,1,0\ndog,0,1\nsea horse,0,1\n", "one column for each of the 3 classes"),
        ("t,cat,dog,sea horse\ncat,1,0,0\ndog,0,1,0\ndog,0,1,0\n", "one line for each"),
        ("t,cat,dog,sea horse\ncat,1,0,0\ndog,0,1,0\nsea hose,0,1,0\n", "found 'sea hose'. Did you mean 'sea horse'"),
        (
            "t,cat,dog,sea horse\ncat,1,0,0\ndog,0,1,0\nsea horse,0,x,0\n",
            "in row 'sea horse', column 'dog' .*found 'x'",
        ),
        ("t,cat,dog,sea horse\ncat,1,0,0\ndog,0,-1,0\nsea horse,0,1,0\n", "count or a share .* found '-1'"),
        ("t,cat,dog,sea horse\n,1,0,0\ndog,0,1,0\nsea horse,0,1,0\n", "one line for each"),
        ("t,cat,dog,sea horse\ncat,1e308,1e308,0\ndog,0,1,0\nsea horse,0,1,0\n", "found '1e308'"),
        ("t,cat,dog,sea horse\ncat,1,0,0\ndog,0,nan,0\nsea horse,0,1,0\n", "found 'nan'"),
        ("t,cat,dog,sea horse\ncat,1,0,0\ndog,0,0,0\nsea horse,0,1,0\n", "above 0 in every row of .* 'dog' has 0"),
    ],
)
def test_any_other_matrix_is_answered_with_what_is_expected(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_matrix(tmp_path / "m.csv", NAMES)


def test_labels_of_people_are_read_by_name_or_number(tmp_path: Path) -> None:
    file = tmp_path / "h.csv"
    file.write_text("path,label\nb,Sea_Horse\na,cat\nother,dog\nc,\n")
    np.testing.assert_array_equal(read_given(file, ["a", "b", "c", "d"], NAMES), [0, 2, -1, -1])
    file.write_text("path,label,true\nb,2,1\na,0,0\n")
    np.testing.assert_array_equal(read_given(file, ["a", "b"], NAMES), [0, 2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na,cat\nb,cow\n", "found 'cow'"),
        ("path,label\na,0\nb,3\n", "found '3'"),
        ("path,label\na,cat\na,dog\n", "one label for each image in .*, but 'a' has several"),
        ("path,mark\na,cat\n", "a column with the label"),
    ],
)
def test_any_other_labels_of_people_are_answered_with_what_is_expected(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "h.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_given(tmp_path / "h.csv", ["a", "b"], NAMES)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        read_matrix(tmp_path / "nowhere.csv", NAMES)
