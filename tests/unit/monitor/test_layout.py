"""Counters go into a string of integers and come back; whatever has no place is left out."""

import numpy as np

from services.monitor.layout import HEAD, layout_of, total
from shared.profile import summarise
from tests.unit.monitor.builders import a_profile, some_rows

PROFILE = a_profile()


def a_string(layout_pack: tuple[tuple[int, int], ...]) -> bytes:
    """What Redis holds after these increments."""
    values = np.zeros(layout_pack[-1][0] + 1 if layout_pack else 0, ">i8")
    for place, count in layout_pack:
        values[place] += count
    return values.tobytes()


def test_a_summary_comes_back_as_it_was() -> None:
    layout = layout_of(PROFILE)
    summary = summarise(PROFILE, *some_rows(300)) | {"rows:batch": 300, "t:job:217": 3, "e:s1": -5}
    assert layout.unpack(total([a_string(layout.pack(summary))])) == summary


def test_buckets_add_up_however_long_each_is() -> None:
    layout = layout_of(PROFILE)
    parts = [{"rows:single": 1}, {"n": 2, "p:1": 2}, {"2:s1": -7, "n": 1}]
    strings = [a_string(layout.pack(part)) for part in parts]
    assert layout.unpack(total([*strings, None, b""])) == {"rows:single": 1, "n": 3, "p:1": 2, "2:s1": -7}
    assert layout.unpack(total([None])) == {}


def test_what_has_no_place_and_what_is_zero_is_left_out() -> None:
    packed = layout_of(PROFILE).pack({"n": 1, "9:0": 4, "0:99": 4, "nonsense": 4, "p:0": 0})
    assert packed == ((layout_of(PROFILE).rows, 1),)


def test_for_ever_everything_is_kept_but_features() -> None:
    layout = layout_of(PROFILE)
    kept = layout.pack({"n": 1, "0:3": 1, "2:s1": 5, "p:s1": 7, "rows:job": 1, "e:n": 2}, features=False)
    assert layout.unpack(total([a_string(kept)])) == {"n": 1, "p:s1": 7, "rows:job": 1, "e:n": 2}


def test_without_a_profile_the_common_counters_have_the_same_places() -> None:
    known, unknown = layout_of(PROFILE), layout_of(None)
    assert unknown.names == HEAD == known.names[: len(HEAD)]
    assert unknown.pack({"rows:job": 3, "n": 1, "p:0": 1}) == known.pack({"rows:job": 3})
    assert unknown.rows == known.rows
    longer = a_string(known.pack({"rows:job": 3, "n": 4, "1:0": 1}))
    assert unknown.unpack(total([longer])) == {"rows:job": 3}
