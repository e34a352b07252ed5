import pytest

from tasador.cli.rows import NotARow, Typed, read_json, read_pairs


def test_pairs_become_what_their_feature_is() -> None:
    kinds = {"area": "numeric", "zone": "categorical", "code": "categorical"}
    row = read_pairs(["area=12.5", "zone=it's=here", "code=7"], kinds)
    assert row == {"area": 12.5, "zone": "it's=here", "code": "7"}


def test_an_empty_value_is_a_null() -> None:
    assert read_pairs(["area="], {"area": "numeric"}) == {"area": None}


def test_what_is_no_number_is_sent_as_it_is_for_the_gateway_to_refuse() -> None:
    assert read_pairs(["area=wide", "unknown=1"], {"area": "numeric"}) == {"area": "wide", "unknown": 1}


@pytest.mark.parametrize("pairs", [["area"], ["area=1", "area=2"]])
def test_what_is_no_pair_or_comes_twice_is_refused(pairs: list[str]) -> None:
    with pytest.raises(NotARow, match="area"):
        read_pairs(pairs, {})


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ('{"a": 1}', Typed([{"a": 1}], single=True)),
        ('[{"a": 1}, {"a": 2}]', Typed([{"a": 1}, {"a": 2}], single=False)),
        ('{"instances": [{"a": 1}]}', Typed([{"a": 1}], single=False)),
        ('{"a": 1}\n\n{"a": 2}\n', Typed([{"a": 1}, {"a": 2}], single=False)),
        ('{\n"a": 1\n}', Typed([{"a": 1}], single=True)),
    ],
)
def test_json_is_read_as_one_row_or_as_many(text: str, typed: Typed) -> None:
    assert read_json(text) == typed


@pytest.mark.parametrize(("text", "why"), [("{", "not JSON"), ("[1]", "expected an object"), ('{"a":1}\n{', "line 2")])
def test_other_text_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(NotARow, match=why):
        read_json(text)
