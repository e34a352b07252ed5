"""What really happened: values that arrive late are joined with the predictions they are about.

`inbox` holds what arrived, in Redis. `matching` finds the predictions, `labels` keeps rows whose actual value is known,
and `joiner` does one after the other, so that each value is in the quality figures once, and its latest correction in
place of it.
"""
