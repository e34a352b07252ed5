"""Where alerts may be sent is found out at the start, not when the first one fires."""

import pytest

from services.monitor.settings import MonitorSettings
from shared.settings import SettingsInvalid
from tests.unit.webhooks.test_signing import SECRET

URL = "https://hooks.example.org/T0/very-secret"


def load(**settings: object) -> MonitorSettings:
    return MonitorSettings.load(model_name="model", monitor_alert_webhook=URL, **settings)


def test_an_address_on_the_internet_is_taken_and_not_shown() -> None:
    found = load(webhook_secrets=SECRET)
    assert found.monitor_alert_webhook.get_secret_value() == URL
    assert "very-secret" not in repr(found)
    assert not MonitorSettings.load(model_name="model").monitor_alert_webhook.get_secret_value()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "TASADOR_WEBHOOK_SECRETS has no secret"),
        ({"webhook_secrets": SECRET, "monitor_alert_webhook": "http://127.0.0.1/x"}, "not on the public internet"),
        ({"webhook_secrets": SECRET, "monitor_alert_webhook": "http://example.org/x"}, "expected https://"),
        ({"webhook_secrets": SECRET, "monitor_alert_webhook": "nonsense"}, "expected https://host/path"),
    ],
)
def test_what_cannot_be_sent_to_is_refused_by_the_name_of_its_variable(settings: dict[str, object], why: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"TASADOR_MONITOR_ALERT_WEBHOOK: .*{why}") as refused:
        MonitorSettings.load(**({"model_name": "model", "monitor_alert_webhook": URL} | settings))
    assert "very-secret" not in str(refused.value)


def test_a_receiver_of_ones_own_network_can_be_allowed() -> None:
    own = {"webhook_secrets": SECRET, "webhook_allowed_networks": "10.0.0.0/8", "model_name": "model"}
    assert MonitorSettings.load(monitor_alert_webhook="http://10.0.0.7/x", **own).monitor_alert_webhook
