"""The address of Redis, and the password that may come from elsewhere."""

from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

SCHEMES = ("redis", "rediss", "unix")


def check_redis_url(url: str) -> None:
    """Raise ValueError, which does not quote it, if this is no address that a client can use."""
    try:
        parts = urlsplit(url)
        place = parts.path if parts.scheme == "unix" else parts.hostname or not parts.netloc
        usable = parts.scheme in SCHEMES and bool(place) and not parts.fragment
        _ = parts.port  # raises if it is no number, as when a password holds a slash
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(
            "expected redis://host:6379/0, rediss:// for TLS or unix:///path; what is special in URLs has to be"
            " percent-encoded in a password, or it comes from TASADOR_REDIS_PASSWORD, as it is"
        )
    if "password" in parse_qs(parts.query):  # it would be shown wherever addresses are
        raise ValueError("a password belongs before the host, redis://:password@host, or into TASADOR_REDIS_PASSWORD")


def with_password(url: str, password: str) -> str:
    """Return the address with a password for its user, unless it has one."""
    parts = urlsplit(url)
    if not password or parts.password:
        return url
    user, _, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}:{quote(password, safe='')}@{host}"
    return urlunsplit(parts._replace(netloc=netloc))
