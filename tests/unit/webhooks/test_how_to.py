"""The function that docs/how-to/webhooks.md gives to receivers."""

import re
import time
from typing import Any, get_args

import pytest

from shared.settings import ROOT
from shared.webhooks.messages import WebhookState
from shared.webhooks.signing import key_of, signature
from tests.unit.webhooks.test_signing import OTHER, SECRET

PAGE = (ROOT / "docs" / "how-to" / "webhooks.md").read_text(encoding="utf-8")
BODY = '{"type": "job.completed", "data": "ü"}'.encode()


def verify(headers: dict[str, str], body: bytes) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    names["verify"](SECRET, headers, body)


def signed(at: float) -> dict[str, str]:
    keys = [key_of(OTHER), key_of(SECRET)]
    text = signature(keys, "msg_1", int(at), BODY)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at)), "webhook-signature": text}


def test_it_accepts_what_is_sent_and_nothing_else() -> None:
    headers = signed(time.time())
    verify(headers, BODY)
    for altered, body in ((headers, BODY + b" "), (headers | {"webhook-id": "msg_2"}, BODY)):
        with pytest.raises(ValueError, match="not sent by"):
            verify(altered, body)
    with pytest.raises(ValueError, match="old"):
        verify(signed(time.time() - 3600), BODY)


def test_the_page_names_the_states_there_are() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(get_args(WebhookState))
