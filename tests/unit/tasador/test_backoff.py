from tasador.stack.backoff import Backoff


def test_the_pause_doubles_up_to_its_cap() -> None:
    backoff = Backoff(first=0.5, longest=10)
    assert [backoff.after(1) for _ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]


def test_a_long_life_starts_over() -> None:
    backoff = Backoff(first=0.5, longest=10, reset_after=30)
    for _ in range(5):
        backoff.after(1)
    assert backoff.after(30) == 0.5
    assert backoff.after(1) == 1
