"""What the id of a message tells."""

from shared.webhooks.messages import about, alert_message_id


def test_a_message_says_in_logs_what_it_is_about() -> None:
    assert about(alert_message_id("a1", "resolved")) == {"alert_id": "a1"}
    assert about("0198c5f0-0000-7000-8000-000000000000") == {"job_id": "0198c5f0-0000-7000-8000-000000000000"}
