"""An S3 server in this process, that services reach over the network as they would any other."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import boto3
from moto.server import ThreadedMotoServer

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


class S3Server:
    """moto: it knows conditional writes and multipart uploads, and keeps everything in memory."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
        self._server = _server(0)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to know to find it."""
        return CREDENTIALS | {"AWS_ENDPOINT": f"http://127.0.0.1:{self._port}"}

    def new_bucket(self) -> str:
        """Return the name of an empty bucket."""
        name = f"bucket-{token_hex(4)}"
        client = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT"],
            region_name=CREDENTIALS["AWS_REGION"],
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        client.create_bucket(Bucket=name)
        client.close()
        return name

    def stop(self) -> None:
        """Answer nobody until `start`; buckets stay as they are."""
        self._server.stop()

    def start(self) -> None:
        """Answer at the same address as before."""
        self._server = _server(self._port)
        self._server.start()

    @contextmanager
    def running(self) -> Iterator["S3Server"]:
        self._server.start()
        self._port = self._server.get_host_and_port()[1]
        try:
            yield self
        finally:
            self._server.stop()


def _server(port: int) -> ThreadedMotoServer:
    return ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
