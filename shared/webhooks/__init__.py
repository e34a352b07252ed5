"""Webhooks after the Standard Webhooks specification: messages about what happened, signed, and sent until received.

Whoever has something to tell puts a message into the queue (`messages`); the monitor delivers it. A message may arrive
twice, under the same id, and never unsigned.
"""

from shared.webhooks.addresses import WebhookRefused, check_url

__all__ = ["WebhookRefused", "check_url"]
