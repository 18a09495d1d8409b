"""A digest depends on paths, contents and the executable bit, and on nothing else."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.errors import ConfigurationError
from stepbridge.images.digest import FileEntry, content_digest, image_digest


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


names = st.text("abc/é.-_ ", min_size=1, max_size=8).filter(
    lambda name: name.strip("/") == name and "//" not in name and not {".", ".."} & set(name.split("/"))
)
entries = st.lists(
    st.builds(FileEntry, names, st.booleans(), st.sampled_from([sha("a"), sha("b")])),
    unique_by=lambda entry: entry.path,
    max_size=6,
)


@given(entries, st.randoms())
def test_order_does_not_matter(files, random):
    """A file system may list a folder in any order."""
    shuffled = list(files)
    random.shuffle(shuffled)
    assert content_digest(files) == content_digest(shuffled)


@given(entries, entries)
def test_digests_differ_when_folders_do(one, other):
    """Any change of a path, a content or an executable bit changes the digest."""
    assert (content_digest(one) == content_digest(other)) == (set(one) == set(other))


def test_digests_of_known_files_stay():
    """Images and code in AWS are found by it: it must not change between versions."""
    files = [FileEntry("a.py", False, sha("a")), FileEntry("run", True, sha("b"))]
    assert content_digest(files) == "a3db3cddda399d0c99d1114941f19ddf0165e4616c3e170b3ad6b43bfed9ea46"
    assert image_digest(files, "Dockerfile", {}) == "efc62f4b9e97d7b7869aab2acb6c7f6a642f28dd8c3edcce43c596f5beb77c32"
    assert (
        image_digest(files, "gpu.Dockerfile", {"B": "2", "A": "1"})
        == "793a554b06d4fc87e827f68c552cbecc7b1d60f019ab82932c82b3bf5b143604"
    )


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../b", "a//b", "./a", "a/"])
def test_path_is_plain_and_relative(path):
    """Two spellings of one path would be two entries."""
    with pytest.raises(ConfigurationError, match="not a plain relative path"):
        FileEntry(path, False, sha("a"))


def test_path_comes_once():
    """Which of two files counts would be chance."""
    with pytest.raises(ConfigurationError) as caught:
        content_digest([FileEntry("a", False, sha("a")), FileEntry("a", False, sha("b"))])
    assert str(caught.value) == "file 'a': it is listed twice; expected each path once"
