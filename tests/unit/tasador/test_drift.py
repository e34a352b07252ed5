from tasador.cli.drift import bar


def test_a_bar_is_as_long_as_its_share_to_an_eighth_of_a_cell() -> None:
    assert [bar(value, 4) for value in (0.0, 0.25, 0.5625, 1.0)] == ["", "█", "██▎", "████"]


def test_a_bar_is_never_longer_than_full_nor_shorter_than_nothing() -> None:
    assert [bar(value, 4) for value in (9.0, -1.0)] == ["████", ""]
