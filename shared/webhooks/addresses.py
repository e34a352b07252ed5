"""Where webhooks may go: to the public internet, and to what the operator names.

A caller chooses the URL and we send the request from inside, so without this a caller could reach what only we can: a
database on loopback, the metadata service of a cloud.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

MAX_URL = 2048  # characters
PORTS = {"http": 80, "https": 443}

Address = IPv4Address | IPv6Address

# Ours, because `ipaddress.is_global` differs between patch releases of Python, and calls multicast global. From the
# special-purpose registries of IANA.
_NOT_PUBLIC_4 = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by providers
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; metadata of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Everything outside is loopback, private, link-local, multicast, NAT64 or not assigned.
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # Teredo and other tunnels
        "2001:db8::/32",
        "2002::/16",  # 6to4: leads to any IPv4 address
        "3fff::/20",
    )
)

_NAME = re.compile(r"([\w-]+\.)*[\w-]*[A-Za-z_][\w-]*\.?", re.ASCII)


class WebhookRefused(ValueError):
    """No message is sent to this URL; the text says why, without telling what the name resolves to."""


class WebhookSettings(Protocol):
    """What deciding about a URL needs of the settings."""

    @property
    def webhook_secrets(self) -> Sequence[Any]: ...
    @property
    def webhook_allowed_networks(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class Target:
    """The parts of a URL that decide where a request goes."""

    scheme: str
    host: str
    port: int
    authority: str
    """Host and port as written, for the header `Host`."""

    @classmethod
    def of(cls, url: str) -> Self:
        """Take a URL apart. Raises WebhookRefused for what is none, or not one to send to."""
        if len(url) > MAX_URL:
            raise WebhookRefused(f"the URL is longer than {MAX_URL} characters")
        if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            raise WebhookRefused("the URL may have printable ASCII only: encode the path by %, and the host as xn--…")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as invalid:
            raise WebhookRefused(f"this is no URL: {invalid}") from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise WebhookRefused("expected https://host/path")
        if "@" in parts.netloc:
            raise WebhookRefused("the URL may hold no user name or password: the signature says who sends")
        if parts.fragment or port == 0 or "%" in parts.netloc:
            raise WebhookRefused("the URL may hold no fragment, no port 0 and no % in its host")
        host = parts.hostname.rstrip(".")
        return cls(parts.scheme, host, port or PORTS[parts.scheme], parts.netloc)

    @property
    def literal(self) -> Address | None:
        """The address, where the host is one. Raises WebhookRefused for spellings such as 127.1 or 0x7f.0.0.1."""
        try:
            return ip_address(self.host)
        except ValueError:
            last = self.host.rsplit(".", 1)[-1]
            if last.isdigit() or last.startswith("0x"):
                raise WebhookRefused("write an IPv4 address as four decimal numbers") from None
            return None


@dataclass(frozen=True)
class Guard:
    """Decides which addresses a message may be sent to.

    Args:
        networks: allowed although they are not public.
        hosts: names whose addresses are not looked at.
    """

    networks: tuple[Any, ...] = ()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, allowed: Iterable[str]) -> Self:
        """Read what is allowed: networks, addresses and names of hosts. Raises ValueError for anything else."""
        networks, hosts = [], set()
        for each in allowed:
            try:
                networks.append(ip_network(each))
            except ValueError:
                if not _NAME.fullmatch(each):
                    raise ValueError(f"{each!r} is neither a network (10.0.0.0/8) nor the name of a host") from None
                hosts.add(each.lower().rstrip("."))
        return cls(tuple(networks), frozenset(hosts))

    def check(self, target: Target) -> None:
        """Refuse what can be refused without resolving the name. Raises WebhookRefused."""
        literal = target.literal
        if target.host in self.hosts:
            return
        if literal is not None:
            self.permitted([literal], target)
        elif target.host == "localhost" or target.host.endswith(".localhost"):
            raise _not_public()
        elif target.scheme == "http" and not self.networks:
            raise _not_encrypted()

    def permitted(self, addresses: Iterable[Address], target: Target) -> list[Address]:
        """Return those of a host's addresses that may be connected to. Raises WebhookRefused if none may."""
        found = [_plain(address) for address in addresses]
        if target.host in self.hosts:
            return found
        listed = [address for address in found if self._listed(address)]
        if target.scheme == "http":
            if not listed:
                raise _not_encrypted() if any(map(is_public, found)) else _not_public()
            return listed
        allowed = [address for address in found if address in listed or is_public(address)]
        if not allowed:
            raise _not_public()
        return allowed

    def _listed(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self.networks)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet. One that carries an IPv4 address is what that is."""
    address = _plain(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def check_url(url: str, settings: WebhookSettings) -> None:
    """Find out, without any look-up, whether messages may be sent to a URL.

    What its name resolves to is checked at each delivery.

    Raises:
        WebhookRefused: they may not, or webhooks are not set up; the text is for the caller.
    """
    if not settings.webhook_secrets:
        raise WebhookRefused("webhooks are not set up here: TASADOR_WEBHOOK_SECRETS has no secret to sign with")
    Guard.of(settings.webhook_allowed_networks).check(Target.of(url))


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _not_public() -> WebhookRefused:
    return WebhookRefused("the host is not on the public internet, and not in TASADOR_WEBHOOK_ALLOWED_NETWORKS")


def _not_encrypted() -> WebhookRefused:
    return WebhookRefused("expected https://: plain http:// is for TASADOR_WEBHOOK_ALLOWED_NETWORKS only")
