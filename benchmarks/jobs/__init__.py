"""What a job costs, from its file on disk to its results on disk, beside the bare engine and its rivals."""
