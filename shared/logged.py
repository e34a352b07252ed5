"""Names of columns in the prediction log and among labelled rows that are ours, and not features'.

A feature that has one of these names is `feature.<name>` there.
"""

LOGGED = ("time", "request_id", "index", "mode", "model_version", "prediction", "latency")
"""Of the prediction log. Labelled rows have all but `mode` and `latency`."""
LABELLED = ("actual", "labelled_at", "entry")
"""What labelled rows have besides: what really happened, when it was told, and by which entry of feedback."""
UNKNOWN = "<unknown>"
"""Stands for a category that training has not seen: events carry only that it was unknown."""
