"""Buckets and objects of moto to records and back.

Recorded of a bucket: owner, region, creation date, versioning, encryption, policy, public access block, ownership,
lifecycle, CORS, object lock and tags. Website, logging, notification, replication, inventory, accelerate configuration
and access control lists of buckets are not: who needs them after a restart sets them again. Of an object: everything
but a restore from Glacier under way. Unfinished multipart uploads are forgotten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from moto.s3.models import FakeAcl, FakeDeleteMarker, FakeGrant, FakeGrantee, PublicAccessBlock, s3_backends

from stepbridge_local.persistence.content import ContentFiles
from stepbridge_local.persistence.records import Change, Document, Records
from stepbridge_local.services.s3.moto.models import Journal, StoredBucket, StoredKey

__all__ = ["restore", "write_changes"]

_BUCKET = "bucket"
_OBJECT = "object"

_BUCKET_FIELDS = (
    "versioning_status",
    "encryption",
    "ownership_rule",
    "object_lock_enabled",
    "default_lock_mode",
    "default_lock_days",
    "default_lock_years",
    "lifecycle_input",
    "cors_input",
    "bucket_namespace",
)
_KEY_FIELDS = (
    "website_redirect_location",
    "_storage_class",
    "_etag",
    "_version_id",
    "_is_versioned",
    "encryption",
    "kms_key_id",
    "bucket_key_enabled",
    "lock_mode",
    "lock_legal_status",
    "lock_until",
    "checksum_algorithm",
    "checksum_value",
    "checksum_type",
    "checksum_parts",
)
_BLOCK_FIELDS = ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets")


def write_changes(journal: Journal, records: Records, files: ContentFiles) -> None:
    """Write what the journal noted, then remove the files that nothing names any more.

    One caller at a time: of two, the one with the older state could write last.
    """
    buckets, objects, discarded = journal.take()
    changes = [_bucket_change(name) for name in buckets]
    changes += [_object_change(bucket, key, files) for bucket, key in objects]
    try:
        records.replace(changes)
    except sqlite3.Error:
        journal.put_back(buckets, objects, discarded)
        raise
    for content in discarded:
        content.path.unlink(missing_ok=True)


def restore(
    records: Records, files: ContentFiles, bucket_class: type[StoredBucket], key_class: type[StoredKey]
) -> None:
    """Fill moto's S3 with the recorded buckets and objects; content without a record is removed."""
    for _, name, (document,) in records.load(_BUCKET):
        _restore_bucket(bucket_class, name, document)
    names: set[str] = set()
    for bucket, key, documents in records.load(_OBJECT):
        _restore_object(key_class, _backend(bucket).buckets[bucket], key, documents, files)
        names.update(document["file"] for document in documents if "file" in document)
    files.keep_only(names)


def _backend(bucket: str) -> Any:
    partition, account_id = s3_backends.bucket_accounts[bucket]
    return s3_backends[account_id][partition]


def _find_bucket(name: str) -> StoredBucket | None:
    if name not in s3_backends.bucket_accounts:
        return None
    bucket: StoredBucket | None = _backend(name).buckets.get(name)
    return bucket


# --- buckets ----------------------------------------------------------------------------------------------------------
def _bucket_change(name: str) -> Change:
    bucket = _find_bucket(name)
    return (_BUCKET, "", name), [] if bucket is None else [_bucket_document(bucket)]


def _bucket_document(bucket: StoredBucket) -> Document:
    block = bucket.public_access_block
    return {field: getattr(bucket, field) for field in _BUCKET_FIELDS} | {
        "account_id": bucket.account_id,
        "region_name": bucket.region_name,
        "creation_date": bucket.creation_date.isoformat(),
        "policy": bucket.policy and bucket.policy.decode(),
        "public_access_block": block and {field: getattr(block, field) for field in _BLOCK_FIELDS},
        "tags": _backend(bucket.name).tagger.get_tag_dict_for_resource(bucket.arn),
    }


def _restore_bucket(bucket_class: type[StoredBucket], name: str, document: Document) -> None:
    bucket = bucket_class(name, document["account_id"], document["region_name"], document["bucket_namespace"])
    if document["lifecycle_input"]:
        bucket.set_lifecycle(document["lifecycle_input"])
    if document["cors_input"]:
        bucket.set_cors(document["cors_input"])
    for field in _BUCKET_FIELDS:
        setattr(bucket, field, document[field])
    bucket.creation_date = datetime.fromisoformat(document["creation_date"]).astimezone(UTC)
    bucket.policy = document["policy"] and document["policy"].encode()
    if block := document["public_access_block"]:
        bucket.public_access_block = PublicAccessBlock(**block)
    bucket.restored = True
    backend = _backend(name)
    backend.buckets[name] = bucket
    backend.tagger.tag_resource(bucket.arn, backend.tagger.convert_dict_to_tags_input(document["tags"]))


# --- objects ----------------------------------------------------------------------------------------------------------
def _object_change(bucket_name: str, key: str, files: ContentFiles) -> Change:
    bucket = _find_bucket(bucket_name)
    versions = bucket.keys.getlist(key, []) if bucket else []
    return (_OBJECT, bucket_name, key), [_version_document(version, files) for version in versions]


def _version_document(version: StoredKey | FakeDeleteMarker, files: ContentFiles) -> Document:
    if isinstance(version, FakeDeleteMarker):
        return {"marker": version._version_id, "last_modified": version.last_modified.isoformat()}
    backend = s3_backends[version.account_id][version.partition]
    return {field: getattr(version, field) for field in _KEY_FIELDS} | {
        "file": files.name_of(version.content),
        "size_bytes": version.content.size_bytes,
        "md5": version.content.md5,
        "account_id": version.account_id,
        "region_name": version.region_name,
        "last_modified": version.last_modified.isoformat(),
        "metadata": dict(version._metadata),
        "acl": version.acl and [_grant_document(grant) for grant in version.acl.grants],
        "expiry": version._expiry and version._expiry.isoformat(),
        "tags": backend.tagger.get_tag_dict_for_resource(version.arn),
    }


def _grant_document(grant: FakeGrant) -> Document:
    grantees = [{"id": who.id, "uri": who.uri, "display_name": who.display_name} for who in grant.grantees]
    return {"grantees": grantees, "permissions": grant.permissions}


def _restore_object(
    key_class: type[StoredKey], bucket: StoredBucket, key: str, documents: Iterable[Document], files: ContentFiles
) -> None:
    versions: list[StoredKey | FakeDeleteMarker] = []
    for document in documents:
        if "marker" in document:
            hidden: Any = versions[-1] if versions else SimpleNamespace(name=key)
            marker = FakeDeleteMarker(hidden)
            marker._version_id = document["marker"]
            marker.last_modified = datetime.fromisoformat(document["last_modified"])
            versions.append(marker)
        else:
            versions.append(_restore_version(key_class, bucket, key, document, files))
    bucket.keys.setlist(key, versions)


def _restore_version(
    key_class: type[StoredKey], bucket: StoredBucket, key: str, document: Document, files: ContentFiles
) -> StoredKey:
    content: Any = files.named(document["file"], document["size_bytes"], document["md5"])
    version = key_class(
        name=key,
        value=content,
        account_id=document["account_id"],
        region_name=document["region_name"],
        bucket_name=bucket.name,
    )
    for field in _KEY_FIELDS:
        setattr(version, field, document[field])
    version.last_modified = datetime.fromisoformat(document["last_modified"])
    version.set_metadata(document["metadata"])
    version.acl = document["acl"] and FakeAcl([_restore_grant(grant) for grant in document["acl"]])
    version._expiry = document["expiry"] and datetime.fromisoformat(document["expiry"])
    if document["tags"]:
        backend = _backend(bucket.name)
        backend.tagger.tag_resource(version.arn, backend.tagger.convert_dict_to_tags_input(document["tags"]))
    return version


def _restore_grant(document: Mapping[str, Any]) -> FakeGrant:
    grantees = [FakeGrantee(who["id"], who["uri"], who["display_name"]) for who in document["grantees"]]
    return FakeGrant(grantees, document["permissions"])
