"""S3 whose objects survive a restart and whose content is never held in memory.

Replaces in ``moto.s3.models``: FakeKey, FakeMultipart, FakeBucket and the backend class of ``s3_backends``; in
``moto.s3.responses``: S3Response.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import moto.s3.models
import moto.s3.responses
from moto.core.responses import ActionResult
from moto.s3.exceptions import (
    InvalidContinuationToken,
    MalformedXML,
    MissingBucket,
    MissingKey,
    NoSuchUpload,
    S3ClientError,
)
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, S3Backend, s3_backends
from moto.s3.responses import S3Response
from moto.utilities.utils import get_partition

from stepbridge_local.persistence.content import ContentFiles, FileContent, IncomingContent, StoredContent, read_chunks
from stepbridge_local.persistence.records import Records
from stepbridge_local.persistence.reserve import DiskReserve
from stepbridge_local.persistence.uploads import (
    ChecksumMismatchError,
    TruncatedBodyError,
    aws_chunks,
    checked,
    plain_chunks,
)
from stepbridge_local.protocols import ObjectSummary, Scope, ServiceError
from stepbridge_local.services.moto.replacement import replace, with_collaborators
from stepbridge_local.services.s3.moto import records as s3_records
from stepbridge_local.services.s3.moto.models import Journal, StoredBucket, StoredKey, StoredMultipart
from stepbridge_local.services.s3.presigned import refusal_of_expired
from stepbridge_local.services.s3.rules import S3Call, problem_of_call

__all__ = ["MotoObjectStore"]


class _KeyWithValue:
    """A key whose ``value`` is something else than its bytes: content to be linked, or to be sent chunk by chunk."""

    def __init__(self, key: FakeKey, value: Any) -> None:
        self._key = key
        self.value = value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._key, name)


class _StoredS3Backend(S3Backend):
    """moto's S3Backend where it would read content into memory, answer 500, or change something unseen."""

    files: ContentFiles
    journal: Journal

    def delete_bucket(self, bucket_name: str) -> Any:
        deleted = super().delete_bucket(bucket_name)
        self.journal.bucket_changed(bucket_name)
        return deleted

    def copy_object(self, src_key: FakeKey, *args: Any, **kwargs: Any) -> None:
        content = IncomingContent(_existing(src_key, lambda key: self.files.link(key.content)))
        try:
            source: Any = _KeyWithValue(src_key, content)
            super().copy_object(source, *args, **kwargs)
        finally:
            content.drop()

    def upload_part(self, bucket_name: str, multipart_id: str, part_id: int, value: Any) -> FakeKey:
        self._require_upload(bucket_name, multipart_id)
        return super().upload_part(bucket_name, multipart_id, part_id, value)

    def upload_part_copy(
        self,
        dest_bucket_name: str,
        multipart_id: str,
        part_id: int,
        src_bucket_name: str,
        src_key_name: str,
        src_version_id: str | None,
        start_byte: int | None,
        end_byte: int | None,
    ) -> FakeKey:
        self._require_upload(dest_bucket_name, multipart_id)
        source = self.get_object(src_bucket_name, src_key_name, version_id=src_version_id)
        whole = _existing(source, lambda key: key.content.open())
        part = whole if start_byte is None or end_byte is None else whole[start_byte : end_byte + 1]
        multipart: Any = self.get_bucket(dest_bucket_name).multiparts[multipart_id]
        copied: FakeKey = multipart.set_part(part_id, self.files.receive(part))
        return copied

    def complete_multipart_upload(self, bucket_name: str, multipart_id: str, body: Any) -> FakeKey | None:
        self._require_upload(bucket_name, multipart_id)
        return super().complete_multipart_upload(bucket_name, multipart_id, body)

    def list_objects_v2(
        self,
        bucket: FakeBucket,
        prefix: str | None,
        delimiter: str | None,
        continuation_token: str | None,
        start_after: str | None,
        max_keys: int,
    ) -> tuple[set[FakeKey | str], bool, str | None]:
        """moto fails of itself for a token that it did not give, or gave before a restart."""
        if continuation_token and continuation_token not in self._pagination_tokens:
            raise InvalidContinuationToken
        return super().list_objects_v2(bucket, prefix, delimiter, continuation_token, start_after, max_keys)

    def put_object_tagging(self, key: FakeKey, tags: dict[str, str] | None) -> FakeKey:
        tagged = super().put_object_tagging(key, tags)
        assert key.bucket_name is not None
        self.journal.object_changed(key.bucket_name, key.name)
        return tagged

    def delete_object_tagging(self, bucket_name: str, key_name: str, version_id: str | None = None) -> None:
        super().delete_object_tagging(bucket_name, key_name, version_id)
        self.journal.object_changed(bucket_name, key_name)

    def put_bucket_tagging(self, bucket_name: str, tags: dict[str, str]) -> None:
        super().put_bucket_tagging(bucket_name, tags)
        self.journal.bucket_changed(bucket_name)

    def delete_bucket_tagging(self, bucket_name: str) -> None:
        super().delete_bucket_tagging(bucket_name)
        self.journal.bucket_changed(bucket_name)

    def _require_upload(self, bucket_name: str, multipart_id: str) -> None:
        """moto answers 500 for an upload that was completed, aborted, or lost with a restart."""
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(upload_id=multipart_id)


def _existing(key: FakeKey | None, use: Any) -> Any:
    """Use the key's content, which a delete may take away at any moment."""
    if key is None:
        raise MissingKey(key="")
    try:
        return use(key)
    except FileNotFoundError:
        raise MissingKey(key=key.name) from None


class _StoredS3Response(S3Response):
    """moto's S3Response, with the bodies of uploads and downloads in files."""

    files: ContentFiles
    _NOT_CONTENT = frozenset({"acl", "legal-hold", "retention", "tagging"})

    def __init__(self) -> None:
        super().__init__()
        self._upload: IncomingContent | None = None
        self._sends_content = False
        self._checksums: dict[str, str] = {}

    def key_response(self, request: Any, full_url: str, headers: Any) -> Any:
        refusal = refusal_of_expired(request.args, datetime.now(UTC))
        if refusal is not None:
            return refusal
        is_upload = request.method == "PUT" and not self._NOT_CONTENT.intersection(request.args)
        if is_upload and "x-amz-copy-source" not in request.headers:
            try:
                self._upload = IncomingContent(self._receive(request))
            except (ChecksumMismatchError, TruncatedBodyError) as error:
                self.setup_class(request)
                self.data["Action"] = "PutObject"
                return self._send_response(self.serialized(ActionResult(_as_s3_error(error))))
        try:
            return super().key_response(request, full_url, headers)
        finally:
            if self._upload is not None:
                self._upload.drop()

    def _bucket_response_put(self, request: Any, bucket_name: str, querystring: dict[str, Any]) -> Any:
        """moto fails of itself for a setting that it cannot read."""
        try:
            return super()._bucket_response_put(request, bucket_name, querystring)
        except (ExpatError, KeyError, TypeError) as error:
            raise MalformedXML from error

    def _bucket_response_post(self, request: Any, bucket_name: str) -> Any:
        """For a form of a browser, moto checks neither the name of the object nor whether there is one."""
        if "delete" not in request.args:
            problem = problem_of_call(S3Call("PostObject", bucket_name, self.querystring.get("key", [""])[0]))
            if "key" not in self.querystring:
                raise S3ClientError("InvalidArgument", "Bucket POST must contain a field named 'key'.")
            if problem is not None:
                raise S3ClientError(problem.code, problem.message)
        return super()._bucket_response_post(request, bucket_name)

    def _receive(self, request: Any) -> StoredContent:
        headers = {name.lower(): value for name, value in request.headers.items()}
        trailers: dict[str, str] = {}
        framed = headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
        chunks = aws_chunks(request.stream, trailers) if framed else plain_chunks(request.stream)
        return self.files.receive(checked(chunks, headers, trailers, self._checksums))

    def setup_class(self, request: Any, full_url: Any = None, headers: Any = None) -> None:  # type: ignore[override]
        super().setup_class(request, full_url, headers)
        if self._upload is not None:
            self.body = self._upload

    def _handle_v4_chunk_signatures(self, body: bytes, content_length: int) -> Any:
        """Not again: the framing came off as the body came in."""
        return body if self._upload is not None else super()._handle_v4_chunk_signatures(body, content_length)

    def _get_checksum(self, response_headers: dict[str, Any]) -> tuple[str, str | None]:
        """Replaces S3Response._get_checksum, which looks for the checksum in the bytes of the body."""
        for algorithm, value in self._checksums.items():
            response_headers[f"x-amz-checksum-{algorithm.lower()}"] = value
            return algorithm, value
        return "", None

    def get_object(self) -> Any:
        self._sends_content = True
        return super().get_object()

    def _get_key(self, validate_storage_class: bool = True) -> tuple[Any, bool]:
        """For get_object, whose answer's body is ``key.value``: an iterable that knows its length and slices."""
        key, not_modified = super()._get_key(validate_storage_class)
        if not self._sends_content:
            return key, not_modified
        return _KeyWithValue(key, _existing(key, lambda found: found.content.open())), not_modified


def _as_s3_error(error: ChecksumMismatchError | TruncatedBodyError) -> S3ClientError:
    if isinstance(error, ChecksumMismatchError):
        counterpart = "what we received" if error.algorithm == "Content-MD5" else "the calculated checksum"
        return S3ClientError("BadDigest", f"The {error.algorithm} you specified did not match {counterpart}.")
    return S3ClientError("IncompleteBody", f"The request body terminated unexpectedly: {error}")


class MotoObjectStore:
    """The ``ObjectStore`` on moto's S3, in process, and the writing of its records. Thread safe.

    ``reserve`` is where records go on a full disk.
    """

    def __init__(self, folder: Path, reserve: DiskReserve | None = None) -> None:
        self._files = ContentFiles(folder / "content")
        self._records = Records(folder / "records.sqlite", reserve)
        self._journal = Journal()
        self._writing = threading.Lock()

    def install(self) -> None:
        """Put the stored models in moto's place and bring back what the folder holds.

        Raises RuntimeError when moto's S3 was already in use: what it holds would be lost.
        """
        if len(s3_backends) or s3_backends.backend is not S3Backend:
            raise RuntimeError("moto's S3 is in use already: one process can be one local AWS only")
        files, journal = self._files, self._journal
        key = with_collaborators(StoredKey, files=files, journal=journal)
        bucket: Any = with_collaborators(StoredBucket, journal=journal)
        replace(moto.s3.models, "FakeKey", key)
        replace(moto.s3.models, "FakeMultipart", with_collaborators(StoredMultipart, files=files))
        replace(moto.s3.models, "FakeBucket", bucket)
        replace(moto.s3.responses, "S3Response", with_collaborators(_StoredS3Response, files=files))
        replace(s3_backends, "backend", with_collaborators(_StoredS3Backend, files=files, journal=journal))
        s3_records.restore(self._records, self._files, bucket, key)
        self._journal.take()  # what was restored is recorded

    def flush(self) -> None:
        """Write what has changed; returns when the records hold everything that was changed before the call."""
        with self._writing:
            s3_records.write_changes(self._journal, self._records, self._files)

    @property
    def is_flushed(self) -> bool:
        """Whether nothing waits to be written. Something may still be in the writing."""
        return self._journal.is_empty

    def take_restored(self, bucket: str) -> bool:
        """Whether the bucket came back after a restart; true once, for the stack that takes it."""
        for backend in [backend for backends in s3_backends.values() for backend in backends.values()]:
            found: Any = backend.buckets.get(bucket)
            if found is not None and found.restored:
                found.restored = False
                return True
        return False

    def close(self) -> None:
        self.flush()
        self._records.close()

    def list_objects(self, scope: Scope, bucket: str, prefix: str) -> Iterator[ObjectSummary]:
        keys = _find_bucket(scope, bucket).keys
        for name in sorted(name for name in list(keys) if name.startswith(prefix)):
            key = keys.get(name)
            if key is not None and not isinstance(key, FakeDeleteMarker):
                yield ObjectSummary(name, key.size, key.etag.strip('"'), key.last_modified.replace(tzinfo=UTC))

    def download(self, scope: Scope, bucket: str, key: str, destination: Path) -> None:
        self._use(scope, bucket, key, lambda content: content.copy_to(destination))

    def read(self, scope: Scope, bucket: str, key: str) -> Iterator[bytes]:
        content: FileContent = self._use(scope, bucket, key, lambda content: content.open())
        return iter(content)

    def _use(self, scope: Scope, bucket: str, key: str, use: Callable[[StoredContent], Any]) -> Any:
        missing = ServiceError("NoSuchKey", f"The specified key does not exist: s3://{bucket}/{key}", 404)
        found = _find_bucket(scope, bucket).keys.get(key)
        if found is None or isinstance(found, FakeDeleteMarker):
            raise missing
        try:
            return use(found.content)
        except FileNotFoundError:
            raise missing from None

    def upload(self, scope: Scope, source: Path, bucket: str, key: str) -> None:
        _find_bucket(scope, bucket)
        content = self._files.receive(read_chunks(source))
        _backend(scope).put_object(bucket, key, content)
        self.flush()


def _backend(scope: Scope) -> Any:
    return s3_backends[scope.account_id][get_partition(scope.region)]


def _find_bucket(scope: Scope, bucket: str) -> Any:
    try:
        return _backend(scope).get_bucket(bucket)
    except MissingBucket:
        raise ServiceError("NoSuchBucket", f"The specified bucket does not exist: {bucket}", 404) from None


def _find_content(scope: Scope, bucket: str, key: str) -> StoredContent:
    """The content of the object's current version. Raises ServiceError NoSuchBucket or NoSuchKey."""
    found = _find_bucket(scope, bucket).keys.get(key)
    if found is None or isinstance(found, FakeDeleteMarker):
        raise _no_such_key(bucket, key)
    content: StoredContent = found.content
    return content


def _no_such_key(bucket: str, key: str) -> ServiceError:
    return ServiceError("NoSuchKey", f"The specified key does not exist: s3://{bucket}/{key}", 404)
