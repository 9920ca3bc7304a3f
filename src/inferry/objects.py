"""Objects: object storage by the S3 protocol, of Amazon or of anybody who speaks it.

Data flow: `s3://bucket/prefix` -> Objects, whose keys are relative to the prefix -> boto3, which finds credentials,
region and endpoint by its own standard chain (environment, files, the machine's role), sends large files in parts side
by side, and tries again with growing, random pauses -> the house's errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from inferry.errors import InvalidInput, MissingPlugin, NotFound, Unavailable

SCHEME = "s3://"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MAX_KEY = 900
ATTEMPTS = 6
CONNECT_S = 5.0
SILENCE_S = 30.0
PART = 16 << 20
AT_ONCE = 8
MOST_DELETED = 1000  # by one request

NO_BUCKET = ("NoSuchBucket",)
NO_KEY = ("NoSuchKey", "404")
DENIED = ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")


class Stored(NamedTuple):
    """An object as a listing has it: `modified` in seconds since 1970, `tag` changes with its content."""

    key: str
    size: int
    modified: float
    tag: str


def is_object_url(text: str) -> bool:
    """Whether a place is in object storage."""
    return text.startswith(SCHEME)


def parse_object_url(text: str) -> tuple[str, str]:
    """Bucket and prefix (without slashes around it) of `s3://bucket/prefix`. Raises InvalidInput."""
    bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
    prefix = prefix.strip("/")
    if not text.startswith(SCHEME) or not BUCKET.fullmatch(bucket):
        raise InvalidInput(f"{text[:80]!a} names no bucket.", help="Write s3://BUCKET/PREFIX.")
    if len(prefix) > MAX_KEY or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        raise InvalidInput(f"{text[:80]!a} has a prefix that cannot be used.", help="Write s3://BUCKET/PREFIX.")
    return bucket, prefix


class Objects:
    """All that lies below one prefix. Safe to share between threads. Raises Unavailable and NotFound."""

    def __init__(self, url: str) -> None:
        self.bucket, self.prefix = parse_object_url(url)
        self.url = f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")
        try:
            import boto3
            from boto3.s3.transfer import TransferConfig
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ModuleNotFoundError as error:
            raise MissingPlugin("Object storage needs the package boto3.", help="pip install 'inferry[s3]'") from error

        def made(style: str) -> Any:
            config = Config(
                connect_timeout=CONNECT_S,
                read_timeout=SILENCE_S,
                max_pool_connections=2 * AT_ONCE,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                s3={"addressing_style": style},
                # Others' servers do not know Amazon's newer checksums; what is read is checked by its sha256 anyway.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
            return boto3.session.Session().client("s3", config=config)

        try:
            client = made("auto")
            if ".amazonaws.com" not in client.meta.endpoint_url:
                client = made("path")  # a bucket is no name below a server of one's own
        except (BotoCoreError, ValueError) as error:
            raise Unavailable(
                f"{self.url} cannot be used: {error}.", help="See the variables AWS_ENDPOINT_URL and AWS_PROFILE."
            ) from error
        self._client = client
        self._transfer = TransferConfig(
            multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=AT_ONCE, num_download_attempts=ATTEMPTS
        )

    @property
    def server(self) -> str:
        """Where the requests go."""
        return str(self._client.meta.endpoint_url)

    def put(self, path: Path, key: str) -> None:
        """Write a file, in parts when it is large; it is there whole or not at all."""
        with self._told(key):
            self._client.upload_file(str(path), self.bucket, self._full(key), Config=self._transfer)

    def write(self, key: str, data: bytes) -> None:
        """Write a short object."""
        with self._told(key):
            self._client.put_object(Bucket=self.bucket, Key=self._full(key), Body=data)

    def get(self, key: str, path: Path) -> None:
        """Read an object into a file, in parts when it is large."""
        with self._told(key):
            self._client.download_file(self.bucket, self._full(key), str(path), Config=self._transfer)

    def read(self, key: str, most: int = 64 << 20) -> bytes:
        """A short object. Raises NotFound."""
        with self._told(key):
            body = self._client.get_object(Bucket=self.bucket, Key=self._full(key))["Body"]
            return bytes(body.read(most))

    def find(self, key: str) -> Stored | None:
        """An object, None when there is none of that name."""
        try:
            with self._told(key):
                found = self._client.head_object(Bucket=self.bucket, Key=self._full(key))
        except NotFound:
            return None
        return Stored(key, found["ContentLength"], found["LastModified"].timestamp(), found["ETag"].strip('"'))

    def all(self, below: str = "") -> Iterator[Stored]:
        """What lies below a part of the prefix, by name."""
        start = len(self.prefix) + 1 if self.prefix else 0
        with self._told(below):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self._full(below)):
                for row in page.get("Contents", ()):
                    yield Stored(
                        row["Key"][start:], row["Size"], row["LastModified"].timestamp(), row["ETag"].strip('"')
                    )

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are no matter."""
        waiting = [{"Key": self._full(key)} for key in keys]
        with self._told(""):
            for start in range(0, len(waiting), MOST_DELETED):
                some = {"Objects": waiting[start : start + MOST_DELETED], "Quiet": True}
                done = self._client.delete_objects(Bucket=self.bucket, Delete=some)
                for wrong in done.get("Errors", ()):
                    raise self._known(wrong.get("Code", ""), wrong.get("Message", ""), wrong.get("Key", ""))

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore import exceptions as known

        try:
            yield
        except (known.NoCredentialsError, known.PartialCredentialsError, known.ProfileNotFound) as error:
            raise Unavailable(
                f"There are no credentials for {self.url}: {error}.",
                help="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role.",
            ) from error
        except known.ClientError as error:
            said = error.response.get("Error", {})
            raise self._known(said.get("Code", ""), said.get("Message", ""), key) from error
        except (known.BotoCoreError, Boto3Error) as error:
            inner = error.__cause__ or error.__context__
            if isinstance(error, Boto3Error) and isinstance(inner, known.ClientError):
                said = inner.response.get("Error", {})
                raise self._known(said.get("Code", ""), said.get("Message", ""), key) from error
            raise Unavailable(
                f"{self.url} does not answer: {str(error).rstrip('.')}.",
                help="See that the network and AWS_ENDPOINT_URL are right. It was tried several times.",
                retry_after=5.0,
            ) from error

    def _known(self, code: str, message: str, key: str) -> NotFound | Unavailable:
        if code in NO_BUCKET:
            return Unavailable(
                f"There is no bucket {self.bucket!r} at {self.server}.", help="Make it, or name another."
            )
        if code in NO_KEY:
            return NotFound(f"There is no object {self.url}/{key}.")
        if code in DENIED:
            return Unavailable(
                f"{self.url} may not be used: {message or 'access denied'} ({code}).",
                help="The credentials need s3:GetObject, PutObject, DeleteObject and ListBucket there.",
            )
        return Unavailable(f"{self.url} refused: {message or code} ({code}).", help="Try again.", retry_after=5.0)
