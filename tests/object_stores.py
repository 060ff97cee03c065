"""Object stores on loopback, spoken to over real HTTP: S3 by moto's server, Azure by Azurite from npm."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BUCKET = "splats"
SECRET = "canary-of-a-secret-key"
ACCOUNT, ACCOUNT_KEY = (  # Azurite knows this one, which is public
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
)
AZURITE = Path(__file__).resolve().parents[1] / "build" / "azurite" / "node_modules" / ".bin" / "azurite-blob"


@contextmanager
def s3() -> Iterator[dict[str, str]]:
    """Serve S3 with one bucket; give the environment variables that lead to it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    env = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "splat",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        client = boto3.client(
            "s3",
            endpoint_url=env["AWS_ENDPOINT_URL"],
            aws_access_key_id="splat",
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield env
    finally:
        server.stop()


@contextmanager
def azure() -> Iterator[dict[str, str]]:
    """Serve Azure's blobs with one container; give the environment variables that lead to it."""
    program = shutil.which("azurite-blob") or (str(AZURITE) if AZURITE.exists() else None)
    if program is None:
        pytest.skip("AZURE IS NOT TESTED: there is no azurite; `make azurite` installs it where npm is")
    from azure.storage.blob import BlobServiceClient

    # One version of its API behind the client's: it would refuse what it can do.
    flags = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--skipApiVersionCheck", "--silent", "--inMemoryPersistence"]
    with subprocess.Popen(
        [program, *flags, "--disableTelemetry"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            assert server.stdout is not None
            heard = [next(line for line in server.stdout if "successfully listens on" in line)]
            address = heard[-1].strip().rsplit(" ", 1)[-1]
            connection = (
                f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
                f"BlobEndpoint={address}/{ACCOUNT};"
            )
            with BlobServiceClient.from_connection_string(connection) as client:
                client.create_container(BUCKET)
            yield {"AZURE_STORAGE_CONNECTION_STRING": connection}
        finally:
            server.kill()


@contextmanager
def surroundings(env: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
