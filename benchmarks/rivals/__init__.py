"""Other servers of the same scikit-learn pipeline, each in an environment of its own, with its protocol and settings.

What is in `programs/` runs there, by path, without anything of ours.
"""
