"""An S3 server in this process, that services reach over the network as they would any other."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

import boto3
from moto.core import enable_iam_authentication
from moto.server import ThreadedMotoServer

from tests.ports import free_port

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


class S3Server:
    """moto: it knows conditional writes and multipart uploads, and keeps everything in memory."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
        self._server = _server(free_port())

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to know to find it."""
        return CREDENTIALS | {"AWS_ENDPOINT": f"http://127.0.0.1:{self._port}"}

    def new_bucket(self) -> str:
        """Return the name of an empty bucket."""
        name = f"bucket-{token_hex(4)}"
        with self.client("s3") as client:
            client.create_bucket(Bucket=name)
        return name

    @contextmanager
    def client(self, service: str) -> Iterator[Any]:
        """Return an independent client of a service of Amazon's."""
        client = boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT"],
            region_name=CREDENTIALS["AWS_REGION"],
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        try:
            yield client
        finally:
            client.close()

    def new_user(self) -> tuple[str, str]:
        """Return the key and the secret of somebody who may do everything."""
        allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
        name = f"user-{token_hex(4)}"
        with self.client("iam") as client:
            client.create_user(UserName=name)
            client.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps(allowed))
            key = client.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    @contextmanager
    def checking_signatures(self) -> Iterator[None]:
        """Refuse what is not signed with a key that the server knows; otherwise it lets everybody in."""
        with enable_iam_authentication():
            yield

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
