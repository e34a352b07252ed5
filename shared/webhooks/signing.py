"""Signatures of Standard Webhooks, version 1: HMAC-SHA256 over id, time and body."""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from hashlib import sha256

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes, by the specification


def key_of(secret: str) -> bytes:
    """Return the key that a secret, `whsec_` and base64, stands for.

    Raises:
        ValueError: it is none. The text does not repeat it.
    """
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except (NotBase64, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"expected {PREFIX} and {SHORTEST} to {LONGEST} bytes in base64")
    return key


def signature(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`: one signature for each key, so that a receiver may know any of them."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join("v1," + b64encode(hmac.digest(key, signed, sha256().name)).decode() for key in keys)
