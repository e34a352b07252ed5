"""What the services agree on: artifact format, schemas, keys, scripts, store, engine. Imports no service."""
