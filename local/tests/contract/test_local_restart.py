"""What survives the end of the local AWS on the same data folder, after SIGTERM and after kill -9."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stepbridge_local.testing import LocalAwsProcess

ENDS = [signal.SIGTERM, signal.SIGKILL]
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
STACK = {
    "Resources": {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "kept"}},
        "Repository": {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": "kept"}},
    }
}


@pytest.mark.parametrize("end", ENDS)
def test_objects_survive_as_they_were(own_local_aws: LocalAwsProcess, end: int) -> None:
    """Content, metadata, tags, times, ETags, copies and what came in parts; what was deleted stays deleted."""
    s3 = own_local_aws.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="a/ü", Body=b"one", Metadata={"k_1": "v"}, ContentType="text/csv", Tagging="t=1")
    s3.copy_object(Bucket="kept", Key="copy", CopySource={"Bucket": "kept", "Key": "a/ü"})
    in_parts = put_in_parts(s3, "kept", "parts")
    s3.put_object(Bucket="kept", Key="gone", Body=b"x")
    s3.delete_object(Bucket="kept", Key="gone")
    before = described(s3, "kept")
    own_local_aws.restart(end)
    s3 = own_local_aws.client("s3")
    assert described(s3, "kept") == before
    assert s3.get_object(Bucket="kept", Key="a/ü")["Body"].read() == b"one"
    assert s3.get_object(Bucket="kept", Key="copy")["Body"].read() == b"one"
    assert s3.get_object(Bucket="kept", Key="parts")["Body"].read() == in_parts
    assert s3.get_object_tagging(Bucket="kept", Key="a/ü")["TagSet"] == [{"Key": "t", "Value": "1"}]


@pytest.mark.parametrize("end", ENDS)
def test_versions_survive(own_local_aws: LocalAwsProcess, end: int) -> None:
    """Every version and every delete marker, in their order; the bucket stays versioned."""
    s3 = own_local_aws.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="kept", Key="x", Body=b"1")["VersionId"]
    s3.put_object(Bucket="kept", Key="x", Body=b"2")
    s3.put_object(Bucket="kept", Key="marked", Body=b"3")
    s3.delete_object(Bucket="kept", Key="marked")
    before = versions(s3)
    own_local_aws.restart(end)
    s3 = own_local_aws.client("s3")
    assert versions(s3) == before
    assert s3.get_object(Bucket="kept", Key="x", VersionId=first)["Body"].read() == b"1"
    assert s3.get_object(Bucket="kept", Key="x")["Body"].read() == b"2"
    assert "VersionId" in s3.put_object(Bucket="kept", Key="x", Body=b"4")


def test_the_configuration_of_a_bucket_survives(own_local_aws: LocalAwsProcess) -> None:
    """Encryption, policy, public access block, ownership, lifecycle, CORS, tags and region."""
    s3 = own_local_aws.client("s3", region_name="eu-west-1")
    s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket="kept", ServerSideEncryptionConfiguration={"Rules": [rule]})
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::kept/no/*"}
    s3.put_bucket_policy(Bucket="kept", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_public_access_block(Bucket="kept", PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    s3.put_bucket_ownership_controls(
        Bucket="kept", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    lifecycle = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 3}}
    s3.put_bucket_lifecycle_configuration(Bucket="kept", LifecycleConfiguration={"Rules": [lifecycle]})
    cors = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}
    s3.put_bucket_cors(Bucket="kept", CORSConfiguration={"CORSRules": [cors]})
    s3.put_bucket_tagging(Bucket="kept", Tagging={"TagSet": [{"Key": "t", "Value": "1"}]})
    before = configuration(s3)
    own_local_aws.restart()
    assert configuration(own_local_aws.client("s3", region_name="eu-west-1")) == before


def test_a_deleted_bucket_does_not_come_back(own_local_aws: LocalAwsProcess) -> None:
    s3 = own_local_aws.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.create_bucket(Bucket="gone")
    s3.delete_bucket(Bucket="gone")
    own_local_aws.restart()
    assert [bucket["Name"] for bucket in own_local_aws.client("s3").list_buckets()["Buckets"]] == ["kept"]


def test_unfinished_uploads_leave_no_file(own_local_aws: LocalAwsProcess) -> None:
    """Parts are forgotten at exit, and their files go with them; the client gets NoSuchUpload."""
    s3 = own_local_aws.client("s3")
    s3.create_bucket(Bucket="kept")
    upload = s3.create_multipart_upload(Bucket="kept", Key="x")["UploadId"]
    s3.upload_part(Bucket="kept", Key="x", UploadId=upload, PartNumber=1, Body=b"part")
    own_local_aws.restart(signal.SIGKILL)
    assert list((own_local_aws.data_dir / "s3" / "content").glob("??/*")) == []
    with pytest.raises(ClientError) as gone:
        own_local_aws.client("s3").upload_part(Bucket="kept", Key="x", UploadId=upload, PartNumber=2, Body=b"part")
    assert gone.value.response["Error"]["Code"] == "NoSuchUpload"


@pytest.mark.parametrize("end", ENDS)
def test_repositories_and_images_survive(own_local_aws: LocalAwsProcess, end: int) -> None:
    """Manifests, digests, tags, push times, settings; a deleted image stays deleted."""
    ecr = own_local_aws.client("ecr")
    ecr.create_repository(
        repositoryName="kept",
        imageTagMutability="IMMUTABLE",
        imageScanningConfiguration={"scanOnPush": True},
        tags=[{"Key": "t", "Value": "1"}],
    )
    for tag in ("one", "two"):
        ecr.put_image(repositoryName="kept", imageManifest=manifest(tag), imageTag=tag)
    ecr.batch_delete_image(repositoryName="kept", imageIds=[{"imageTag": "two"}])
    before = repository(ecr)
    assert len(before["images"]) == 1
    own_local_aws.restart(end)
    assert repository(own_local_aws.client("ecr")) == before


def test_a_new_stack_takes_what_survived_the_old_one(own_local_aws: LocalAwsProcess) -> None:
    """Stacks are forgotten at exit; CreateStack takes over the bucket and the repository that came back."""
    cloudformation, s3 = own_local_aws.client("cloudformation"), own_local_aws.client("s3")
    cloudformation.create_stack(StackName="s", TemplateBody=json.dumps(STACK))
    s3.put_object(Bucket="kept", Key="x", Body=b"1")
    own_local_aws.restart()
    cloudformation, s3 = own_local_aws.client("cloudformation"), own_local_aws.client("s3")
    cloudformation.create_stack(StackName="s", TemplateBody=json.dumps(STACK))
    assert cloudformation.describe_stacks(StackName="s")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    assert s3.get_object(Bucket="kept", Key="x")["Body"].read() == b"1"
    cloudformation.create_stack(StackName="other", TemplateBody=json.dumps(STACK))
    assert cloudformation.describe_stacks(StackName="other")["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE"
    assert s3.get_object(Bucket="kept", Key="x")["Body"].read() == b"1"


def test_what_it_leaves_is_readable_by_its_owner_only(own_local_aws: LocalAwsProcess) -> None:
    """The folder holds people's data."""
    mode = own_local_aws.data_dir.stat().st_mode & 0o777
    assert mode & 0o077 == 0


def put_in_parts(s3: Any, bucket: str, key: str) -> bytes:
    parts = [os.urandom(5 << 20), b"end"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    sent = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=part)["ETag"],
        }
        for number, part in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": sent})
    return b"".join(parts)


def described(s3: Any, bucket: str) -> list[dict[str, Any]]:
    heads = []
    for found in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        head = s3.head_object(Bucket=bucket, Key=found["Key"])
        del head["ResponseMetadata"]
        heads.append({"Key": found["Key"], **head})
    return heads


def versions(s3: Any) -> list[tuple[str, str, bool]]:
    listed = s3.list_object_versions(Bucket="kept")
    return [
        (version["Key"], version["VersionId"], version["IsLatest"])
        for version in listed["Versions"] + listed["DeleteMarkers"]
    ]


def configuration(s3: Any) -> dict[str, Any]:
    calls = (
        "get_bucket_location",
        "get_bucket_encryption",
        "get_bucket_policy",
        "get_public_access_block",
        "get_bucket_ownership_controls",
        "get_bucket_lifecycle_configuration",
        "get_bucket_cors",
        "get_bucket_tagging",
    )
    answers = {call: getattr(s3, call)(Bucket="kept") for call in calls}
    for answer in answers.values():
        del answer["ResponseMetadata"]
    return answers


def manifest(text: str) -> str:
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": {"digest": text}, "layers": []})


def repository(ecr: Any) -> dict[str, Any]:
    (found,) = ecr.describe_repositories()["repositories"]
    images = ecr.describe_images(repositoryName="kept")["imageDetails"]
    manifests = ecr.batch_get_image(repositoryName="kept", imageIds=[{"imageTag": "one"}])["images"]
    tags = ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
    return {"repository": found, "images": images, "manifests": manifests, "tags": tags}
