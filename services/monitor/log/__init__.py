"""The prediction log: every single and batch prediction as Parquet in the store.

`rows` is the schema, `layout` the names of files. `writer` writes them, `compaction` makes few of many, `purge` takes
out the rows of a request, `tidy` sees to both and removes old days, `lookup` finds rows by request id. A file never
changes: whoever changes rows writes a new one and then removes the old one. So a crash leaves rows twice, never none.
"""
