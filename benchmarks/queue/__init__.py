"""The queue itself: what a chunk costs that takes no processor, and where one Valkey ends."""
