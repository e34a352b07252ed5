"""HTTP routes: each reads the transport, asks, and renders. No decisions here."""

JSON = "application/json"
BODY_PROBLEMS = ("malformed-body", "payload-too-large", "unsupported-media-type")
"""What may be wrong with any JSON body."""
