"""The address of Redis: a password goes into it once, in the place and the encoding that clients read it from."""

import pytest
from redis.asyncio.connection import parse_url

from shared.redis_url import check_redis_url, with_password

AWKWARD = "p@s:s/w%?#[ö]&= +"


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("redis://host:6380/1", None),
        ("rediss://[::1]:6380/1?ssl_cert_reqs=none", None),
        ("redis://scorer@host:6380/1", "scorer"),
        ("redis://scorer:@host:6380/1", "scorer"),
        ("redis://a%40b@host:6380/1", "a@b"),
        ("unix:///run/redis.sock?db=1", None),
        ("unix://scorer@/run/redis.sock?db=1", "scorer"),
    ],
)
def test_a_client_reads_the_password_as_it_was_given(url: str, user: str | None) -> None:
    before, after = dict(parse_url(url)), dict(parse_url(with_password(url, AWKWARD)))
    assert after.pop("password") == AWKWARD
    assert after.get("username") == user
    assert after == before


@pytest.mark.parametrize("url", ["redis://:own@host/0", "redis://me:own@host/0", "unix://me:own@/run/redis.sock"])
def test_an_address_keeps_the_password_that_it_has(url: str) -> None:
    assert with_password(url, "other") == url


def test_without_a_password_an_address_stays_as_it_is() -> None:
    assert with_password("redis://host", "") == "redis://host"


@pytest.mark.parametrize(
    "url", ["redis://host", "redis:///0", "rediss://:p%40ss@host:1/0", "redis://[::1]:1", "unix:///run/redis.sock"]
)
def test_what_clients_take_is_taken(url: str) -> None:
    check_redis_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://:hunter2@host",
        "host:6379",
        "unix://",
        "redis://:hunter2/x@host",
        "redis://:12#hunter2@host",
        "redis://:12?hunter2@host",
        "redis://:hunter2@[::1",
        "redis://:hunter2@host:port",
        "redis://:hunter2@host:99999",
        "redis://host/0?password=hunter2",
    ],
)
def test_what_they_would_misread_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="TASADOR_REDIS_PASSWORD") as refused:
        check_redis_url(url)
    assert "hunter2" not in str(refused.value)
