"""Parquet on the local S3 as data people write and read it: pyarrow, s3fs, pandas and AWS SDK for pandas."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest

from stepbridge_local.testing import LocalAwsProcess

# In processes of their own: pyarrow's S3 takes a minute off a test's end where it shares one, and pandas takes its
# endpoint from the environment.
PROGRAMS = {
    "pyarrow": """
import pyarrow as pa, pyarrow.dataset as ds, pyarrow.parquet as pq
from pyarrow import fs
keys = {"access_key": "local", "secret_key": "local"}
s3 = fs.S3FileSystem(endpoint_override=address, scheme="http", region="us-east-1", **keys)
pq.write_table(pa.table(data), f"{bucket}/folder/one.parquet", filesystem=s3)
with s3.open_output_stream(f"{bucket}/folder/two.parquet") as stream:
    pq.write_table(pa.table(data), stream)
assert [i.base_name for i in s3.get_file_info(fs.FileSelector(f"{bucket}/folder"))] == ["one.parquet", "two.parquet"]
rows = ds.dataset(f"{bucket}/folder", filesystem=s3).to_table().num_rows
s3.copy_file(f"{bucket}/folder/one.parquet", f"{bucket}/three.parquet")
s3.move(f"{bucket}/three.parquet", f"{bucket}/four.parquet")
s3.delete_dir(f"{bucket}/folder")
rows -= pq.read_table(f"{bucket}/four.parquet", filesystem=s3).num_rows
""",
    "s3fs": """
import s3fs
s3 = s3fs.S3FileSystem(key="local", secret="local", endpoint_url=endpoint)
with s3.open(f"{bucket}/folder/a.csv", "wb") as stream:
    stream.write(b"a\\n1\\n2\\n")
with s3.open(f"{bucket}/large", "wb", block_size=5 * 2**20) as stream:
    for _ in range(12):
        stream.write(b"x" * 2**20)
assert s3.info(f"{bucket}/large")["size"] == 12 * 2**20
assert s3.ls(f"{bucket}/folder") == [f"{bucket}/folder/a.csv"] and s3.glob(f"{bucket}/f*/*.csv")
assert s3.cat_file(f"{bucket}/large", start=5, end=8) == b"xxx"
s3.cp(f"{bucket}/folder/a.csv", f"{bucket}/b.csv"); s3.rm(f"{bucket}/folder", recursive=True)
rows = len(s3.cat(f"{bucket}/b.csv").split()) - 1
assert not s3.exists(f"{bucket}/folder/a.csv")
rows = len(data["a"])
""",
    "pandas": """
import pandas as pd
frame = pd.DataFrame(data)
frame.to_parquet(f"s3://{bucket}/a.parquet")
frame.to_parquet(f"s3://{bucket}/parts", partition_cols=["b"])
frame.to_csv(f"s3://{bucket}/a.csv", index=False)
assert pd.read_csv(f"s3://{bucket}/a.csv").equals(frame)
assert len(pd.read_parquet(f"s3://{bucket}/parts")) == len(frame)
rows = len(pd.read_parquet(f"s3://{bucket}/a.parquet"))
""",
    "awswrangler": """
import awswrangler as wr, pandas as pd
frame = pd.DataFrame(data)
wr.s3.to_parquet(frame, path=f"s3://{bucket}/set/", dataset=True, partition_cols=["b"])
wr.s3.to_parquet(frame, path=f"s3://{bucket}/set/", dataset=True, partition_cols=["b"], mode="overwrite_partitions")
wr.s3.to_csv(frame, path=f"s3://{bucket}/a.csv", index=False)
assert len(wr.s3.read_csv(f"s3://{bucket}/a.csv")) == len(frame)
rows = len(wr.s3.read_parquet(f"s3://{bucket}/set/", dataset=True))
wr.s3.delete_objects(f"s3://{bucket}/set/")
assert wr.s3.list_objects(f"s3://{bucket}/set/") == []
""",
}
HEAD = """
import json, sys
bucket, endpoint, address, count = json.loads(sys.argv[1])
data = {"a": list(range(count)), "b": [n % 3 for n in range(count)], "c": [f"text {n}" for n in range(count)]}
"""


@pytest.mark.parametrize(
    ("client_name", "count"),
    [
        ("pyarrow", 1000),
        *(pytest.param(client_name, 1000, marks=pytest.mark.long) for client_name in ("s3fs", "pandas", "awswrangler")),
        pytest.param("pyarrow", 2_000_000, marks=pytest.mark.long),
    ],
)
def test_tables_are_written_and_read(local_aws: LocalAwsProcess, name: str, client_name: str, count: int) -> None:
    """Single files, datasets, uploads in parts, listings, ranges, copies and deletions."""
    local_aws.client("s3").create_bucket(Bucket=name)
    arguments = [name, local_aws.endpoint_url, urlsplit(local_aws.endpoint_url).netloc, count]
    program = f"{HEAD}{PROGRAMS[client_name]}\nassert rows == count, rows\nprint('all rows')\n"
    done = run(program, arguments, local_aws.endpoint_url)
    assert (done.returncode, done.stdout.strip()) == (0, "all rows"), done.stderr[-3000:]


def run(program: str, arguments: list[Any], endpoint_url: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-c", program, json.dumps(arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)
