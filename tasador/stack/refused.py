"""The one kind of failure that a user of the stack sees as a message."""


class Refused(Exception):
    """What was asked for cannot be done now; `str()` says why, and what to do."""
