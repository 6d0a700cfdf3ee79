"""Objects in S3. Conditional writes are S3's own: If-Match and If-None-Match on PutObject."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from subsecond.aws.client import Aws, aws_of, code_of
from subsecond.config import Settings
from subsecond.ports import Found, Listed, ObjectsFailed

T = TypeVar("T")

# DeleteObjects takes this many names at once.
DELETED_AT_ONCE = 1000
# Somebody else was first: 412 the condition is false, 409 two writes met, 404 If-Match on an object that is gone.
LOST = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})
MISSING = frozenset({"NoSuchKey", "404"})


class S3Objects:
    """The port `Objects`, in one bucket. boto3 blocks, so each call runs in the pool of threads."""

    def __init__(self, aws: Aws, bucket: str) -> None:
        self._aws = aws
        self._bucket = bucket

    async def get(self, name: str, known: str | None = None) -> Found | None:
        return await self._run(lambda: self._read(name, known))

    async def put(self, name: str, data: bytes) -> str:
        return await self._run(
            lambda: self._aws.s3.put_object(Bucket=self._bucket, Key=name, Body=data)["ETag"],
        )

    async def put_if(self, name: str, data: bytes, etag: str | None) -> str | None:
        return await self._run(lambda: self._replace(name, data, etag))

    async def listed(self, prefix: str) -> list[Listed]:
        return await self._run(lambda: self._names(prefix))

    async def delete(self, names: Sequence[str]) -> None:
        await self._run(lambda: self._remove(names))

    async def _run(self, call: Callable[[], T]) -> T:
        return await self._aws.run(lambda: _named(self._aws, call))

    def _read(self, name: str, known: str | None) -> Found | None:
        s3 = self._aws.s3
        try:
            if known is None:
                reply = s3.get_object(Bucket=self._bucket, Key=name)
            else:
                reply = s3.get_object(Bucket=self._bucket, Key=name, IfNoneMatch=known)
        except s3.exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "304" and known is not None:
                return Found(known, None)
            if code in MISSING:
                return None
            raise
        return Found(reply["ETag"], reply["Body"].read())

    def _replace(self, name: str, data: bytes, etag: str | None) -> str | None:
        s3 = self._aws.s3
        try:
            if etag is None:
                reply = s3.put_object(Bucket=self._bucket, Key=name, Body=data, IfNoneMatch="*")
            else:
                reply = s3.put_object(Bucket=self._bucket, Key=name, Body=data, IfMatch=etag)
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in LOST:
                return None
            raise
        return reply["ETag"]

    def _names(self, prefix: str) -> list[Listed]:
        pages = self._aws.s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [
            Listed(item["Key"], item["Size"], item["LastModified"].timestamp())
            for page in pages
            for item in page.get("Contents", [])
        ]

    def _remove(self, names: Sequence[str]) -> None:
        for start in range(0, len(names), DELETED_AT_ONCE):
            part = names[start : start + DELETED_AT_ONCE]
            reply = self._aws.s3.delete_objects(
                Bucket=self._bucket, Delete={"Objects": [{"Key": name} for name in part], "Quiet": True}
            )
            if reply.get("Errors"):
                raise ObjectsFailed(reply["Errors"][0].get("Code", "refused"))


def _named(aws: Aws, call: Callable[[], T]) -> T:
    """The call's result; boto3's failures become ours."""
    try:
        return call()
    except aws.errors as error:
        raise ObjectsFailed(code_of(error)) from error


def build(settings: Settings) -> S3Objects:
    aws = aws_of(settings)
    _ = aws.s3  # made where the stage loads, in a thread: 60 ms that the search's time box does not have
    return S3Objects(aws, settings.bucket)
