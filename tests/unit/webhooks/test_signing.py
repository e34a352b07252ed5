"""Signatures, against the specification's own example and as a receiver would verify them."""

import base64
import hashlib
import hmac

import pytest
from pydantic import SecretStr

from shared.settings import CommonSettings, SettingsInvalid
from shared.webhooks.signing import key_of, signature

# From the specification and its libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EXAMPLE = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = "whsec_" + base64.b64encode(bytes(range(64))).decode()


def test_the_example_of_the_specification() -> None:
    assert signature([key_of(SECRET)], *EXAMPLE) == SIGNED


def test_every_secret_signs() -> None:
    first, second = signature([key_of(OTHER), key_of(SECRET)], *EXAMPLE).split(" ")
    assert second == SIGNED
    content = f"{EXAMPLE[0]}.{EXAMPLE[1]}.".encode() + EXAMPLE[2]
    assert base64.b64decode(first.removeprefix("v1,")) == hmac.new(bytes(range(64)), content, hashlib.sha256).digest()


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", OTHER[:-1], SECRET.removeprefix("whsec_"), SECRET + "!", "whsec_é"]
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="expected whsec_") as refused:
        key_of(secret)
    monkeypatch.setenv("TASADOR_WEBHOOK_SECRETS", f"{SECRET},{secret or 'x'}")
    with pytest.raises(SettingsInvalid, match=r"TASADOR_WEBHOOK_SECRETS: .*expected whsec_") as unset:
        CommonSettings.load(model_name="m")
    if len(secret) > len("whsec_"):
        assert secret not in str(refused.value) + str(unset.value)


def test_settings_are_words_between_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASADOR_WEBHOOK_SECRETS", f"{SECRET}, {OTHER}")
    monkeypatch.setenv("TASADOR_WEBHOOK_ALLOWED_NETWORKS", "10.0.0.0/8,receiver")
    settings = CommonSettings.load(model_name="m")
    assert settings.webhook_secrets == (SecretStr(SECRET), SecretStr(OTHER))
    assert settings.webhook_allowed_networks == ("10.0.0.0/8", "receiver")
    assert SECRET not in repr(settings)
    monkeypatch.setenv("TASADOR_WEBHOOK_ALLOWED_NETWORKS", "10.0.0.1/8")
    with pytest.raises(SettingsInvalid, match="TASADOR_WEBHOOK_ALLOWED_NETWORKS"):
        CommonSettings.load(model_name="m")
