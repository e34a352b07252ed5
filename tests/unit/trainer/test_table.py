import math

import numpy as np
import pytest

from services.trainer.table import DataUnusable, Table, read_table

NULLS = ("", "NA")


def read(text: str) -> Table:
    return read_table(text.encode(), NULLS)


def refused(data: str | bytes) -> str:
    with pytest.raises(DataUnusable) as error:
        read_table(data.encode() if isinstance(data, str) else data, NULLS)
    return str(error.value)


def test_cells_keep_their_text_and_numbers_their_bits() -> None:
    (column,) = read("x\n0.1\n 1e-3 \nword \n").columns

    assert column.cells == ["0.1", " 1e-3 ", "word "]
    assert column.numbers[:2].tolist() == [0.1, 0.001]
    assert column.words().tolist() == [False, False, True]


def test_null_markers_are_null_with_spaces_around_them_too() -> None:
    columns = read("x,y\n,1\n NA ,2\nNo,3\n").columns

    assert columns[0].null().tolist() == [True, True, False]


@pytest.mark.parametrize("text", ["1_000", "٣", "0x10", "1,5", "nan", "--1", "1e", "."])
def test_what_only_looks_like_a_number_is_a_word(text: str) -> None:
    (column,) = read(f'x\n"{text}"\n').columns

    assert column.words().all()


@pytest.mark.parametrize("text", ["1", "-1.", "+.5", "1E+5", "007"])
def test_numbers_are_numbers(text: str) -> None:
    assert read(f"x\n{text}\n").columns[0].numbers[0] == float(text)


def test_infinity_is_a_number() -> None:
    values = read("x\ninf\n-Infinity\n1e999\n").columns[0].numbers

    assert np.isinf(values).all()
    assert math.copysign(1, values[1]) == -1


def test_lines_are_those_of_the_file_where_cells_span_several() -> None:
    assert read('x,y\n"a\nb",1\n\nc,2\n').lines.tolist() == [3, 5]


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert read("\ufeffx\n1\n").columns[0].name == "x"


def test_rows_of_the_wrong_length_are_named_by_line() -> None:
    message = refused("a,b\n1,2\n1\n1,2,3\n")

    assert "line 3: 1 cells, but the header has 2 columns" in message
    assert "line 4: 3 cells" in message


def test_many_rows_of_the_wrong_length_are_counted() -> None:
    assert "and 4 more such lines" in refused("a,b\n" + "1\n" * 9)


def test_columns_of_the_same_name_are_named() -> None:
    assert "1 column names appear more than once: 'a'" in refused("a,b,a\n1,2,3\n")


def test_another_separator_is_recognised() -> None:
    assert "no comma but ';'" in refused("a;b\n1;2\n")


def test_bytes_that_are_not_utf_8_are_named_by_line() -> None:
    assert "line 2: the file is not UTF-8" in refused("a\nM\xfcnchen\n".encode("latin-1"))


def test_an_open_quote_is_named_by_line() -> None:
    assert "line 3" in refused('a\n1\n"open\n')


def test_an_empty_file_is_refused() -> None:
    assert "the file is empty" in refused("")


def test_a_header_alone_is_a_table_without_rows() -> None:
    table = read("a,b\n")

    assert len(table) == 0
    assert [column.name for column in table.columns] == ["a", "b"]
