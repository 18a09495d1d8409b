"""moto's S3 models, with their content in files and a journal of what has changed since the last write of the records.

They replace ``FakeKey``, ``FakeMultipart`` and ``FakeBucket`` of ``moto.s3.models``, which keep content in memory or in
anonymous temporary files and forget everything at exit. moto creates the instances; ``MotoObjectStore.install`` gives
the classes their ``files`` and ``journal``.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML
from moto.s3.models import FakeBucket, FakeKey, FakeMultipart
from moto.s3.utils import _VersionedKeyStore
from moto.settings import S3_UPLOAD_PART_MIN_SIZE

from stepbridge_local.persistence.content import ContentFiles, IncomingContent, StoredContent, read_chunks
from stepbridge_local.persistence.uploads import Checksum

__all__ = ["CompletedContent", "Journal", "StoredBucket", "StoredKey", "StoredMultipart"]


class Journal:
    """Names of buckets and objects that changed, and files that no object has any more. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: set[str] = set()
        self._objects: set[tuple[str, str]] = set()
        self._discarded: list[StoredContent] = []

    def bucket_changed(self, bucket: str) -> None:
        with self._lock:
            self._buckets.add(bucket)

    def object_changed(self, bucket: str, key: str) -> None:
        with self._lock:
            self._objects.add((bucket, key))

    def discard(self, content: StoredContent) -> None:
        """Remove the file, but only once the records no longer name it."""
        with self._lock:
            self._discarded.append(content)

    def put_back(self, buckets: set[str], objects: set[tuple[str, str]], discarded: list[StoredContent]) -> None:
        """Note again what ``take`` gave, because it could not be written."""
        with self._lock:
            self._buckets |= buckets
            self._objects |= objects
            self._discarded += discarded

    @property
    def is_empty(self) -> bool:
        return not (self._buckets or self._objects or self._discarded)

    def take(self) -> tuple[set[str], set[tuple[str, str]], list[StoredContent]]:
        """Everything noted so far; the journal is empty afterwards."""
        with self._lock:
            taken = self._buckets, self._objects, self._discarded
            self._buckets, self._objects, self._discarded = set(), set(), []
        return taken


class StoredKey(FakeKey):
    """One version of an object, or one part of a multipart upload, with its content in a file."""

    files: ContentFiles
    journal: Journal
    content: StoredContent

    _UNRECORDED: ClassVar = frozenset({"_tick", "_status", "_time_progressed", "_value_buffer", "disposed", "lock"})

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name not in self._UNRECORDED:
            self._changed()

    def _changed(self) -> None:
        bucket_name = self.__dict__.get("bucket_name")
        if bucket_name:  # parts of an upload have none: they are not recorded
            self.journal.object_changed(bucket_name, self.name)

    @property
    def value(self) -> bytes:
        """The whole content. What may be big goes by ``content`` instead."""
        return self.content.read()

    @value.setter
    def value(self, new_value: IncomingContent | StoredContent | bytes) -> None:
        self._value_buffer: Any = None
        if isinstance(new_value, IncomingContent):
            self.content = new_value.take()
        elif isinstance(new_value, StoredContent):
            self.content = new_value
        else:
            self.content = self.files.receive([new_value])
        self.contentsize = self.content.size_bytes

    @property
    def etag(self) -> str:
        return f'"{self._etag or self.content.md5}"'

    def set_metadata(self, metadata: Any, replace: bool = False) -> None:
        super().set_metadata(metadata, replace)
        self._changed()

    def dispose(self, garbage: bool = False) -> None:
        """Drop the content, unless Python only collects the instance (``garbage``)."""
        if not garbage and not self.disposed:
            self.disposed = True
            self.journal.discard(self.content)

    def __deepcopy__(self, memo: dict[int, Any]) -> StoredKey:
        """list_object_versions works on copies, whose content nobody reads."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied


class CompletedContent:
    """Joins the parts of an upload one chunk at a time and computes the checksum that S3 reports for the whole."""

    def __init__(self, algorithm: str | None, checksum_type: str | None) -> None:
        self._algorithm = algorithm if Checksum.supports(algorithm) else None
        self._composite = checksum_type != "FULL_OBJECT"
        self._whole = Checksum(self._algorithm) if self._algorithm else None
        self._part_count = 0

    def chunks(self, parts: list[StoredKey]) -> Iterator[bytes]:
        for part in parts:
            self._part_count += 1
            of_part = Checksum(self._algorithm) if self._algorithm else None
            for chunk in read_chunks(part.content.path):
                if of_part:
                    of_part.update(chunk)
                if self._whole and not self._composite:
                    self._whole.update(chunk)
                yield chunk
            if self._whole and of_part and self._composite:
                self._whole.update(of_part.digest())

    def checksum(self) -> tuple[str, str, int] | None:
        """Type, value and number of parts as moto's MultipartChecksumBuilder.build; None where none is computed."""
        if self._whole is None:
            return None
        if self._composite:
            return "COMPOSITE", self._whole.value(), self._part_count
        return "FULL_OBJECT", self._whole.value(), 1


class StoredMultipart(FakeMultipart):
    """A multipart upload whose completion joins files. Parts are forgotten at exit, as their upload is."""

    files: ContentFiles
    parts: dict[int, StoredKey]  # type: ignore[assignment]

    def complete(self, body: Iterator[tuple[int, str]]) -> tuple[Any, str, tuple[str, str, int] | None]:
        """Replaces FakeMultipart.complete, which joins the parts in memory. Same errors, same ETag."""
        parts = self._listed_parts(body)
        md5s = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
        etag = hashlib.md5(md5s, usedforsecurity=False).hexdigest()
        whole = CompletedContent(
            self.metadata.get("x-amz-checksum-algorithm"), self.metadata.get("x-amz-checksum-type")
        )
        content = self.files.receive(whole.chunks(parts))
        return content, f"{etag}-{len(parts)}", whole.checksum()

    def _listed_parts(self, body: Iterator[tuple[int, str]]) -> list[StoredKey]:
        parts: list[StoredKey] = []
        for number, etag in body:
            part = self.parts.get(number)
            if part is None or part.etag.strip('"') != etag.strip('"'):
                raise InvalidPart()
            if parts and parts[-1].contentsize < S3_UPLOAD_PART_MIN_SIZE:
                raise EntityTooSmall()
            parts.append(part)
        if not parts:
            raise MalformedXML()
        return parts


class _JournaledKeys(_VersionedKeyStore):
    """The objects of a bucket by name; each change of a name is noted."""

    def __init__(self, bucket: str, journal: Journal) -> None:
        super().__init__()
        self._bucket = bucket
        self._journal = journal

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._journal.object_changed(self._bucket, key)

    def setlist(self, key: str, list_: Any) -> None:
        super().setlist(key, list_)
        self._journal.object_changed(self._bucket, key)

    def pop(self, key: str) -> None:  # type: ignore[override]
        super().pop(key)
        self._journal.object_changed(self._bucket, key)


class StoredBucket(FakeBucket):
    """A bucket whose configuration is recorded. ``restored``: it came back from records and no stack has it yet."""

    journal: Journal
    restored = False

    def __init__(self, name: str, account_id: str, region_name: str, bucket_namespace: str | None = None) -> None:
        super().__init__(name, account_id, region_name, bucket_namespace)
        self.keys = _JournaledKeys(name, self.journal)
        self.lifecycle_input: list[dict[str, Any]] | None = None
        self.cors_input: list[dict[str, Any]] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if "name" in self.__dict__:
            self.journal.bucket_changed(self.name)

    def set_lifecycle(self, rules: list[dict[str, Any]]) -> None:
        super().set_lifecycle(rules)
        self.lifecycle_input = rules

    def delete_lifecycle(self) -> None:
        super().delete_lifecycle()
        self.lifecycle_input = None

    def set_cors(self, rules: list[dict[str, Any]]) -> None:
        super().set_cors(rules)
        self.cors_input = rules

    def delete_cors(self) -> None:
        super().delete_cors()
        self.cors_input = None

    def get_permission(self, action: str, resource: str) -> Any:
        """Replaces FakeBucket.get_permission, which takes a conditional statement for an unconditional one.

        So a policy that denies what comes without TLS would deny all. Conditions are not evaluated here: statements
        that have one neither deny nor allow.
        """
        if self.policy is None:
            return PermissionResult.NEUTRAL
        document = json.loads(self.policy)
        statements = document.get("Statement") or []
        statements = statements if isinstance(statements, list) else [statements]
        unconditional = [statement for statement in statements if not statement.get("Condition")]
        if not unconditional:
            return PermissionResult.NEUTRAL
        return IAMPolicy(json.dumps(document | {"Statement": unconditional})).is_action_permitted(action, resource)
