"""Where webhooks may go: nothing on the inside, unless the operator names it."""

from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from shared.webhooks import WebhookRefused, check_url
from shared.webhooks.addresses import Guard, Target, is_public

INSIDE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.31.255.255",
    "192.0.0.8",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
OUTSIDE = [
    "1.1.1.1",
    "93.184.216.34",
    "172.32.0.1",
    "192.167.255.255",
    "2606:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
]


@dataclass(frozen=True)
class Settings:
    webhook_secrets: tuple[str, ...] = ("whsec_",)
    webhook_allowed_networks: tuple[str, ...] = ()


def permitted(url: str, *addresses: str, allowed: tuple[str, ...] = ()) -> list[str]:
    return [str(found) for found in Guard.of(allowed).permitted(map(ip_address, addresses), Target.of(url))]


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_inside_is_refused_whether_it_is_written_or_looked_up(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(WebhookRefused, match="not on the public internet"):
        permitted("https://example.org/", address)
    if "%" not in address:
        host = f"[{address}]" if ":" in address else address
        with pytest.raises(WebhookRefused):
            check_url(f"https://{host}/", Settings())


@pytest.mark.parametrize("address", OUTSIDE)
def test_what_is_outside_is_accepted(address: str) -> None:
    check_url(f"https://{f'[{address}]' if ':' in address else address}:8443/x?token=1", Settings())
    assert permitted("https://example.org/", address) == [address.removeprefix("::ffff:")]


def test_only_the_addresses_that_may_be_connected_to_are_left() -> None:
    assert permitted("https://example.org/", "10.0.0.1", "1.1.1.1", "::1") == ["1.1.1.1"]


def test_a_network_is_allowed_by_the_operator() -> None:
    allowed = ("10.1.0.0/16", "fd00::/8")
    for url in ("https://in.example", "http://in.example"):
        assert permitted(url, "10.1.2.3", "::ffff:10.1.2.4", allowed=allowed) == ["10.1.2.3", "10.1.2.4"]
        with pytest.raises(WebhookRefused):
            permitted(url, "10.2.2.3", allowed=allowed)
    check_url("http://10.1.0.1/", Settings(webhook_allowed_networks=allowed))
    check_url("http://in.example/", Settings(webhook_allowed_networks=allowed))  # as far as one can tell without a look
    with pytest.raises(WebhookRefused):
        check_url("http://10.2.0.1/", Settings(webhook_allowed_networks=allowed))


def test_a_host_is_allowed_by_its_name() -> None:
    allowed = ("Receiver.", "localhost")
    assert permitted("http://RECEIVER/x", "127.0.0.1", "10.0.0.1", allowed=allowed) == ["127.0.0.1", "10.0.0.1"]
    check_url("http://receiver:8080/", Settings(webhook_allowed_networks=allowed))
    check_url("http://localhost:8080/", Settings(webhook_allowed_networks=allowed))


def test_plain_http_is_for_what_the_operator_allows() -> None:
    for address in ("1.1.1.1", "example.org"):
        with pytest.raises(WebhookRefused, match="https"):
            check_url(f"http://{address}/", Settings())
    with pytest.raises(WebhookRefused, match="https"):
        permitted("http://example.org/", "1.1.1.1", allowed=("10.0.0.0/8",))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https:///path",
        "https://",
        "https://user:secret@example.org/",
        "https://@example.org/",
        "https://example.org/#part",
        "https://example.org:0/",
        "https://example.org:65536/",
        "https://example.org:x/",
        "https://exa mple.org/",
        "https://example.org/\n",
        "https://bücher.example/",
        "https://127.0.0.1\\@example.org/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://ex%61mple.org/",
        "https://localhost/",
        "https://a.LOCALHOST./",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://example.org/" + "x" * 2048,
    ],
)
def test_what_is_no_url_to_send_to_is_refused(url: str) -> None:
    with pytest.raises(WebhookRefused):
        check_url(url, Settings())


def test_without_a_secret_there_are_no_webhooks() -> None:
    with pytest.raises(WebhookRefused, match="TASADOR_WEBHOOK_SECRETS"):
        check_url("https://example.org/", Settings(webhook_secrets=()))


@pytest.mark.parametrize("allowed", ["10.0.0.1/8", "10.0.0", "*.example.org", "https://example.org", "a:1", "."])
def test_what_is_neither_a_network_nor_a_host_is_refused(allowed: str) -> None:
    with pytest.raises(ValueError, match="neither a network"):
        Guard.of([allowed])
