"""Requests that S3 refuses, and their neighbours on the other side of each limit, sent as they are over HTTP."""

from __future__ import annotations

import base64
import hashlib
import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import pytest

from stepbridge_local.testing import LocalAwsProcess

SIGNED = "AWS4-HMAC-SHA256 Credential=210987654321/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x"
BUCKET = "refusals-of-s3"
OBJECT = f"/{BUCKET}/object"
LONGEST = "k" * 1024
META = "x-amz-meta-"
HELLO_MD5 = base64.b64encode(hashlib.md5(b"hello").digest()).decode()
OTHER_MD5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()


@dataclass(frozen=True)
class Ask:
    """A request. ``{upload}`` in its path is the id of a multipart upload of ``upload``."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def put(path: str, body: bytes = b"hello", **headers: str) -> Ask:
    return Ask("PUT", path, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def get(path: str) -> Ask:
    return Ask("GET", path)


def copy(source: str, path: str = f"/{BUCKET}/copied", **headers: str) -> Ask:
    return put(path, b"", x_amz_copy_source=source, **headers)


def delete(count: int, key: str = "gone") -> Ask:
    objects = "".join(f"<Object><Key>{key}{number}</Key></Object>" for number in range(count))
    return Ask("POST", f"/{BUCKET}?delete", {}, f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode())


def complete(part: str) -> Ask:
    body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    return Ask("POST", f"/{BUCKET}/upload?uploadId={{upload}}", {}, body)


def tagging(*names: str) -> bytes:
    tags = "".join(f"<Tag><Key>{name}</Key><Value>v</Value></Tag>" for name in names)
    return f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode()


def part(number: str, **headers: str) -> Ask:
    return put(f"/{BUCKET}/upload?partNumber={number}&uploadId={{upload}}", **headers)


def presigned(date: str = "20990101T000000Z", seconds: str = "60", **changed: str | None) -> str:
    """The address of version 4; ``changed`` replaces parameters, or removes them where it has None."""
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"210987654321/{date[:8]}/us-east-1/s3/aws4_request",
        "X-Amz-Signature": "x",
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Date": date,
        "X-Amz-Expires": seconds,
    }
    named = {f"X-Amz-{name}": value for name, value in changed.items()}
    return f"{OBJECT}?" + "&".join(f"{name}={value}" for name, value in (query | named).items() if value is not None)


def signed_2(**query: str) -> str:
    """The address of version 2."""
    return f"{OBJECT}?" + "&".join(f"{name}={value}" for name, value in query.items())


FORM = {"Content-Type": "multipart/form-data; boundary=B"}


def form(**fields: str) -> Ask:
    """A browser's upload."""
    named = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    file = 'Content-Disposition: form-data; name="file"; filename="f"\r\n\r\nhello\r\n'
    return Ask("POST", f"/{BUCKET}", FORM, ("--B\r\n" + "--B\r\n".join([*named, file]) + "--B--\r\n").encode())


KEY = "210987654321"
QUERY_ERROR = "AuthorizationQueryParametersError"
BUCKET_NAMES = [
    *("ab", "a" * 64, "Upper-case", "UPPER", "under_score", "dots..row", "192.168.5.4", "-abc", "abc-", ".abc", "abc."),
    *("xn--abc", "sthree-abc", "amzn-s3-demo-abc", "abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--x-s3"),
    *("abc--table-s3", "a b c", "ümlaut", "a%b", "abc*", "abc\n"),
]
COPY_SOURCES = ["nokey", BUCKET, f"/{BUCKET}", "/", f"{BUCKET}/", f"/{BUCKET}/", "", "//key", "%FF/%FF"]
LISTS = {
    "max-keys": ["", "?list-type=2", "?versions"],
    "max-uploads": ["?uploads"],
    "max-parts": ["/upload?uploadId={upload}"],
    "part-number-marker": ["/upload?uploadId={upload}"],
}
NO_NUMBERS = ["x", "", "-1", "1.5", "1e3", "0x10", "2147483648", "9" * 5000, "%D9%A1", "%20"]
ENCODED = ["", "?list-type=2", "?versions", "?uploads"]


def listed(place: str, name: str, value: str) -> Ask:
    return get(f"/{BUCKET}{place}{'&' if '?' in place else '?'}{name}={value}")


REFUSED: list[tuple[Ask, str]] = [
    *((put("/" + quote(name), b""), "InvalidBucketName") for name in BUCKET_NAMES),
    (put(f"/{BUCKET}/{LONGEST}k"), "KeyTooLongError"),
    (put(f"/{BUCKET}/{quote('é' * 513)}"), "KeyTooLongError"),
    (get(f"/{BUCKET}/{LONGEST}k"), "KeyTooLongError"),
    (copy(f"{BUCKET}/object", f"/{BUCKET}/{LONGEST}k"), "KeyTooLongError"),
    (Ask("POST", f"/{BUCKET}/{LONGEST}k?uploads"), "KeyTooLongError"),
    (put(f"/{BUCKET}/%FF%FE"), "InvalidURI"),
    (put(OBJECT, x_amz_meta_a="x" * 2048), "MetadataTooLarge"),
    (Ask("PUT", OBJECT, {f"{META}{number:04}": "x" * 100 for number in range(20)}), "MetadataTooLarge"),
    (Ask("POST", f"{OBJECT}?uploads", {f"{META}a": "x" * 2048}), "MetadataTooLarge"),
    (copy(f"{BUCKET}/object", x_amz_metadata_directive="REPLACE", x_amz_meta_a="x" * 2048), "MetadataTooLarge"),
    (put(OBJECT, content_md5=OTHER_MD5), "BadDigest"),
    (part("1", content_md5=OTHER_MD5), "BadDigest"),
    (put(f"{OBJECT}?tagging", tagging("a"), content_md5=OTHER_MD5), "BadDigest"),
    *((put(OBJECT, content_md5=text), "InvalidDigest") for text in ("zz", "", "zzzz", HELLO_MD5[:-4], "é")),
    *((put(OBJECT, **{f"x_amz_checksum_{name}": "AAAA"}), "InvalidRequest") for name in ("crc32", "sha1", "sha256")),
    *((part(text), "InvalidArgument") for text in ("0", "-1", "10001", "x", "", "1.0")),
    *(
        (copy(f"{BUCKET}/object", f"/{BUCKET}/upload?partNumber={text}&uploadId={{upload}}"), "InvalidArgument")
        for text in ("0", "x")
    ),
    (get(f"{OBJECT}?partNumber=x"), "InvalidArgument"),
    *(
        (listed(place, name, text), "InvalidArgument")
        for name, places in LISTS.items()
        for place in places
        for text in NO_NUMBERS
    ),
    *((get(f"/?max-buckets={text}"), "InvalidArgument") for text in ("x", "0", "10001")),
    *((listed(place, "encoding-type", "bad"), "InvalidArgument") for place in ENCODED),
    (get(f"/{BUCKET}?list-type=3"), "InvalidArgument"),
    (get(f"{OBJECT}?versionId=x"), "InvalidArgument"),
    (get(f"{OBJECT}?versionId="), "InvalidArgument"),
    *((copy(source), "InvalidArgument") for source in COPY_SOURCES),
    *(
        (
            copy(
                f"{BUCKET}/object", f"/{BUCKET}/upload?partNumber=1&uploadId={{upload}}", x_amz_copy_source_range=text
            ),
            "InvalidArgument",
        )
        for text in ("0-1", "bytes=2-1", "bytes=-1", "bytes=x-y", "bytes=0-" + "9" * 5000, "")
    ),
    (delete(1001), "MalformedXML"),
    (delete(0), "MalformedXML"),
    (Ask("POST", f"/{BUCKET}?delete", {}, b"<Delete><Object></Object></Delete>"), "MalformedXML"),
    (Ask("POST", f"/{BUCKET}?delete", {}, b"<Delete>"), "MalformedXML"),
    (complete("<Part><PartNumber>x</PartNumber><ETag>e</ETag></Part>"), "MalformedXML"),
    (complete("<Part><PartNumber>1</PartNumber></Part>"), "MalformedXML"),
    (complete("<Part><ETag>e</ETag></Part>"), "MalformedXML"),
    (put(f"{OBJECT}?tagging", b"{}"), "MalformedXML"),
    (put(f"/{BUCKET}?versioning", b"\xff"), "MalformedXML"),
    (put(f"{OBJECT}?tagging", tagging("a", "a")), "InvalidTag"),
    (put(f"/{BUCKET}?tagging", tagging("a", "a")), "InvalidTag"),
    (put(f"/{BUCKET}?tagging", tagging(*(f"t{number}" for number in range(51)))), "BadRequest"),
    (put(OBJECT, x_amz_tagging="a=1&a=2"), "InvalidArgument"),
    (put(OBJECT, x_amz_tagging="=1"), "InvalidTag"),
    (put(f"/{BUCKET}?tagging", tagging("t" * 129)), "InvalidTag"),
    (put(f"/{BUCKET}?tagging", tagging("")), "InvalidTag"),
    *((put(f"/{BUCKET}?policy", body), "MalformedPolicy") for body in (b"", b"{", b"[]", b"<x/>", b'{"Statement": 1}')),
    (put(f"/{BUCKET}?policy", b'{"Version": "2012-10-17"}'), "MalformedPolicy"),
    *((put(f"{OBJECT}?{what}", b""), "MissingRequestBodyError") for what in ("tagging", "retention", "legal-hold")),
    *((put(f"{OBJECT}?{what}", b"<x/>"), "MalformedXML") for what in ("tagging", "retention", "legal-hold")),
    (Ask("POST", f"/{BUCKET}?delete", {}, b"<x><Object><Key>k</Key></Object></x>"), "MalformedXML"),
    *(
        (Ask("GET", f"{OBJECT}?attributes", {"x-amz-object-attributes": "ObjectParts", name: text}), "InvalidArgument")
        for name in ("x-amz-max-parts", "x-amz-part-number-marker")
        for text in ("x", "-1")
    ),
    (put(f"/{BUCKET}?versioning", b""), "MissingRequestBodyError"),
    (put(f"/{BUCKET}?versioning", b"<x/>"), "IllegalVersioningConfigurationException"),
    (
        put(f"/{BUCKET}?versioning", b"<VersioningConfiguration><Status>On</Status></VersioningConfiguration>"),
        "MalformedXML",
    ),
    (Ask("POST", f"/{BUCKET}?delete"), "MalformedXML"),
    (Ask("POST", f"/{BUCKET}/upload?uploadId={{upload}}"), "InvalidRequest"),
    (put("/refused-by-s3", b"<C><LocationConstraint>mars</LocationConstraint></C>"), "InvalidLocationConstraint"),
    (put(OBJECT, x_amz_acl="bad"), "InvalidArgument"),
    (put("/refused-by-s3", b"", x_amz_acl="bad"), "InvalidArgument"),
    (put(OBJECT, x_amz_server_side_encryption="bad"), "InvalidEncryptionAlgorithmError"),
    (put(OBJECT, x_amz_storage_class="bad"), "InvalidStorageClass"),
    (put(OBJECT, x_amz_sdk_checksum_algorithm="bad"), "InvalidRequest"),
    (copy(f"{BUCKET}/object", x_amz_metadata_directive="bad"), "InvalidArgument"),
    (copy(f"{BUCKET}/object", x_amz_tagging_directive="bad"), "InvalidArgument"),
    *((get(f"/{BUCKET}?list-type=2&continuation-token={text}"), "InvalidArgument") for text in ("", "bad")),
    *((get(presigned(seconds=text)), QUERY_ERROR) for text in ("x", "", "-1", "604801")),
    *((get(presigned(date=text)), QUERY_ERROR) for text in ("2099-01-01", "", "20991399T000000Z", "20990101T990000Z")),
    *(
        (get(presigned(Credential=text)), QUERY_ERROR)
        for text in (
            *("", "x", "a/b/c/d", "210987654321/20990101/us-east-1/s3", "//us-east-1/s3/aws4_request", "a/b/c/d/e/f"),
            *("210987654321/20990102/us-east-1/s3/aws4_request", "210987654321/x/us-east-1/s3/aws4_request"),
            "210987654321/20990101/us-east-1/s3/aws5_request",
        )
    ),
    *((get(presigned(Algorithm=text)), QUERY_ERROR) for text in ("AWS4-HMAC-MD5", "", None)),
    *((get(presigned(**{name: None})), QUERY_ERROR) for name in ("Credential", "SignedHeaders", "Date", "Expires")),
    *(
        (make(f"/{BUCKET}/upload?{query}"), "InvalidArgument")
        for make in (put, lambda path: copy(f"{BUCKET}/object", path))
        for query in ("uploadId={upload}", "partNumber=1")
    ),
    (form(), "InvalidArgument"),
    (form(key=LONGEST + "k"), "KeyTooLongError"),
    (Ask("POST", f"/{BUCKET}", FORM, b"garbage"), "InvalidArgument"),
]
ACCEPTED: list[Ask] = [
    *(put(f"/{name}", b"") for name in ("a" * 63, "a-1", "0.a", "1.2.3", "192.168.5.4.com", "a--b", "a.b-c.d")),
    put(f"/{BUCKET}/{LONGEST}"),
    put(f"/{BUCKET}/{quote('é' * 512)}"),
    copy(f"{BUCKET}/object", f"/{BUCKET}/{LONGEST}"),
    *(
        put(f"/{BUCKET}/{quote(key)}")
        for key in ("日本/ü ñ", "a b", "a/../b", "..a", "a//b", "*", "a\\b", "a:b?c#d", "\x7f")
    ),
    put(OBJECT, x_amz_meta_a="x" * 2047),
    put(OBJECT, content_md5=HELLO_MD5),
    put(f"{OBJECT}?tagging", tagging("a"), content_md5=base64.b64encode(hashlib.md5(tagging("a")).digest()).decode()),
    *(part(text) for text in ("1", "10000")),
    *(listed(place, name, text) for name, places in LISTS.items() for place in places for text in ("0", "2147483647")),
    *(listed(place, "encoding-type", "url") for place in ENCODED),
    *(get(f"/?max-buckets={text}") for text in ("1", "10000")),
    get(f"{OBJECT}?versionId=null"),
    copy(f"{BUCKET}/object"),
    copy(f"/{BUCKET}/object"),
    copy(quote(f"{BUCKET}/object", safe="")),
    copy(f"{BUCKET}/object", f"/{BUCKET}/upload?partNumber=3&uploadId={{upload}}", x_amz_copy_source_range="bytes=0-4"),
    delete(1000, "k" * 500),
    put(f"{OBJECT}?tagging", tagging(*(f"t{number}" for number in range(10)))),
    put(f"/{BUCKET}?tagging", tagging(*(f"t{number}" for number in range(50)))),
    put(OBJECT, x_amz_tagging="a=1&A=1"),
    put(f"/{BUCKET}?tagging", tagging("t" * 128)),
    *(put(OBJECT, x_amz_acl=text) for text in ("private", "public-read", "bucket-owner-full-control")),
    *(put(OBJECT, x_amz_server_side_encryption=text) for text in ("AES256", "aws:kms")),
    put(OBJECT, x_amz_sdk_checksum_algorithm="crc32"),
    copy(f"{BUCKET}/object", x_amz_metadata_directive="COPY", x_amz_tagging_directive="COPY"),
    get(presigned(seconds="604800")),
    get(presigned(date="99991231T235959Z")),
    *(get(signed_2(AWSAccessKeyId=KEY, Signature="x", Expires=text)) for text in ("4102444800", "9" * 18)),
    part("2"),
    form(key=LONGEST),
    Ask("GET", f"{OBJECT}?attributes", {"x-amz-object-attributes": "ETag", "x-amz-max-parts": "1"}),
    *(
        Ask("GET", OBJECT, {"If-Modified-Since": text})
        for text in ("bad", "", "0", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994")
    ),
]


DENIED: list[Ask] = [
    *(
        get(signed_2(AWSAccessKeyId=KEY, Signature="x", Expires=text))
        for text in ("", "x", "-1", "1e3", "1.5", "9" * 30)
    ),
    *(get(signed_2(AWSAccessKeyId=KEY, Signature="x", Expires=text)) for text in ("0", "1", "1700000000")),  # over
    get(signed_2(AWSAccessKeyId=KEY, Signature="x")),
    get(signed_2(AWSAccessKeyId=KEY, Expires="4102444800")),
    get(signed_2(Signature="x", Expires="4102444800")),
    get(presigned(date="20000101T000000Z")),  # over
]


@pytest.fixture(scope="module")
def upload(local_aws: LocalAwsProcess) -> str:
    """The id of a multipart upload, in a bucket with an object. In an account of its own: other tests list buckets."""
    s3 = local_aws.client("s3", aws_access_key_id="210987654321")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="object", Body=b"hello")
    identifier: str = s3.create_multipart_upload(Bucket=BUCKET, Key="upload")["UploadId"]
    return identifier


@pytest.fixture
def send(local_aws: LocalAwsProcess, upload: str) -> Callable[[Ask], tuple[int, str]]:
    """``send(ask)``: the status and the error's code, which is empty for a success."""
    parts = urlsplit(local_aws.endpoint_url)

    def send(ask: Ask) -> tuple[int, str]:
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        headers: dict[str, Any] = {"Authorization": SIGNED, **ask.headers}
        connection.request(ask.method, ask.path.replace("{upload}", upload), ask.body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        code = ElementTree.fromstring(text).findtext("Code") if answer.status >= 300 and text else ""
        return answer.status, code or ""

    return send


def shown(ask: Ask) -> str:
    headers = "".join(f" {name}: {value[:20]}" for name, value in ask.headers.items())
    return f"{ask.method} {ask.path[:60]}{headers[:80]} {ask.body[:60].decode('latin-1')}"


def test_what_s3_refuses_is_refused_with_its_error(send: Callable[[Ask], tuple[int, str]]) -> None:
    """Names, keys, numbers, digests, metadata, tags and bodies beyond S3's limits: 400, never accepted, never a 500."""
    found = [(shown(ask), send(ask), (400, code)) for ask, code in REFUSED]
    assert [row for row in found if row[1] != row[2]] == []


def test_a_presigned_address_that_is_over_or_has_no_end_is_denied(send: Callable[[Ask], tuple[int, str]]) -> None:
    """403 AccessDenied, whatever the signature's version; never the object, never a 500."""
    found = [(shown(ask), send(ask)) for ask in DENIED]
    assert [row for row in found if row[1] != (403, "AccessDenied")] == []


def test_what_is_just_within_the_limits_is_accepted(send: Callable[[Ask], tuple[int, str]]) -> None:
    """The rules refuse nothing that S3 accepts."""
    found = [(shown(ask), send(ask)) for ask in ACCEPTED]
    assert [row for row in found if row[1][0] not in (200, 204)] == []
