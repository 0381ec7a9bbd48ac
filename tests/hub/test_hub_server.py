# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The Hub's own client against the test Hub: repositories, commits, revisions, listings, cards and permissions."""

import hashlib
import subprocess

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    DatasetCard,
    HfApi,
    HfFileSystem,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session

REPO = "user/sets"
CARD = """---
license: mit
language: en
configs:
- config_name: dpc_5
  data_files:
  - split: train
    path: dpc_5/train.parquet
---
# Sets
"""
LARGE = bytes(range(256)) * 40


@pytest.fixture
def api(hub) -> HfApi:
    """A client with the repository `user/sets`: a card, a small text and a large file."""
    api = HfApi(token=hub.token)
    api.create_repo(REPO, repo_type="dataset")
    operations = [
        CommitOperationAdd("README.md", CARD.encode()),
        CommitOperationAdd("notes/a.txt", b"one\n"),
        CommitOperationAdd("dpc_5/train.parquet", LARGE),
    ]
    api.create_commit(REPO, operations, commit_message="First", repo_type="dataset")
    return api


def status_of(call, *args, **kwargs) -> int:
    with pytest.raises(HfHubHTTPError) as caught:
        call(*args, **kwargs)
    return caught.value.response.status_code


def test_objects_have_gits_hashes(hub, api, tmp_path):
    """The tree of a commit is the one that git makes of the same files."""
    for path, content in hub.contents(REPO).items():
        entry = hub.repository(REPO).head.tree[path]
        if entry.sha256:
            assert entry.sha256 == hashlib.sha256(content).hexdigest()
            content = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
                entry.sha256.encode(),
                len(content),
            )
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    hub.put(REPO, "dpc_5.txt", b"sorts between the folder's name and its slash")
    (tmp_path / "dpc_5.txt").write_bytes(hub.contents(REPO)["dpc_5.txt"])

    def git(*arguments: str) -> str:
        command = ["git", "-c", "core.autocrlf=false", "-c", "filter.lfs.clean=cat", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("config", "filter.lfs.required", "false")
    git("add", ".")
    listed = {entry.path: entry for entry in api.list_repo_tree(REPO, recursive=True, repo_type="dataset")}
    for line in git("ls-tree", "-r", "-t", git("write-tree")).splitlines():
        oid, path = line.split()[2:]
        assert oid == getattr(listed[path], "blob_id", None) or oid == getattr(listed[path], "tree_id", None), path


def test_a_repository_is_created_once_and_deleted(hub, api):
    assert status_of(api.create_repo, REPO, repo_type="dataset") == 409
    assert api.create_repo(REPO, repo_type="dataset", exist_ok=True).repo_id == REPO
    assert not api.repo_exists(REPO)  # a model of the same name is something else
    api.delete_repo(REPO, repo_type="dataset")
    assert not api.repo_exists(REPO, repo_type="dataset")
    api.delete_repo(REPO, repo_type="dataset", missing_ok=True)


def test_one_commit_adds_copies_replaces_and_deletes(hub, api):
    operations = [
        CommitOperationAdd("notes/a.txt", b"two\n"),
        CommitOperationAdd("empty.parquet", b""),
        CommitOperationCopy("dpc_5/train.parquet", "dpc_10/train.parquet"),
        CommitOperationDelete("dpc_5/"),
    ]
    made = api.create_commit(REPO, operations, commit_message="Second", commit_description="More", repo_type="dataset")
    contents = hub.contents(REPO)
    assert contents.pop("README.md") == CARD.encode()
    assert contents.pop(".gitattributes")
    assert contents == {"notes/a.txt": b"two\n", "empty.parquet": b"", "dpc_10/train.parquet": LARGE}
    commits = api.list_repo_commits(REPO, repo_type="dataset")
    assert [commit.title for commit in commits] == ["Second", "First", "initial commit"]
    assert commits[0].commit_id == made.oid and commits[0].message == "More" and commits[0].authors == ["user"]


def test_an_upload_that_changes_nothing_writes_nothing(hub, api, tmp_path):
    (tmp_path / "dpc_5").mkdir()
    (tmp_path / "dpc_5" / "train.parquet").write_bytes(LARGE)
    (tmp_path / "README.md").write_text(CARD)
    before, writes = hub.repository(REPO).head.oid, len(hub.writes)
    made = api.upload_folder(repo_id=REPO, repo_type="dataset", folder_path=tmp_path)
    assert made.oid == before == hub.repository(REPO).head.oid
    assert len(hub.writes) == writes


def test_a_large_file_is_uploaded_once(hub, api):
    uploads = hub.log("PUT", "^/lfs-store/")
    assert [(one.status, one.received) for one in uploads] == [(200, len(LARGE))]
    api.upload_file(path_or_fileobj=LARGE, path_in_repo="copy.parquet", repo_id=REPO, repo_type="dataset")
    assert hub.log("PUT", "^/lfs-store/") == uploads
    assert hub.contents(REPO)["copy.parquet"] == LARGE


def test_a_large_file_in_parts(hub, api):
    hub.multipart_size = 1000
    content = hashlib.sha256(b"x").digest() * 100
    api.upload_file(path_or_fileobj=content, path_in_repo="parts.bin", repo_id=REPO, repo_type="dataset")
    assert hub.contents(REPO)["parts.bin"] == content
    assert [one.received for one in hub.log("PUT")[1:]] == [1000, 1000, 1000, 200]


def test_a_commit_on_an_old_parent_is_refused(hub, api):
    parent = hub.repository(REPO).head.oid
    operations = [CommitOperationAdd("x.txt", b"x")]
    theirs = hub.put(REPO, "theirs.txt", b"theirs")
    commit = {"commit_message": "x", "repo_type": "dataset", "parent_commit": parent}
    assert status_of(api.create_commit, REPO, operations, **commit) == 412
    assert hub.repository(REPO).head.oid == theirs
    api.create_commit(REPO, operations, **commit | {"parent_commit": theirs})
    assert {"x.txt", "theirs.txt"} <= set(hub.contents(REPO))


@pytest.mark.parametrize(
    "operations, error",
    [
        ([CommitOperationAdd("ok.txt", b"x"), CommitOperationDelete("missing.txt")], EntryNotFoundError),
        (
            [CommitOperationAdd("ok.txt", b"x"), CommitOperationAdd("notes", b"a folder has this name")],
            BadRequestError,
        ),
    ],
)
def test_a_commit_is_made_whole_or_not_at_all(hub, api, operations, error):
    before = hub.repository(REPO).head.oid
    with pytest.raises(error):
        api.create_commit(REPO, operations, commit_message="x", repo_type="dataset")
    assert hub.repository(REPO).head.oid == before


def test_pull_requests(hub, api):
    before = hub.repository(REPO).head.oid
    stranger = HfApi(token=hub.other_token)
    proposal = {"repo_id": REPO, "repo_type": "dataset", "path_in_repo": "new.bin", "path_or_fileobj": LARGE[:999]}
    assert status_of(stranger.upload_file, **proposal) == 403
    made = stranger.upload_file(**proposal, create_pr=True)
    assert made.pr_revision == "refs/pr/1" and made.pr_url.endswith("/datasets/user/sets/discussions/1")
    assert hub.repository(REPO).head.oid == before
    assert api.dataset_info(REPO, revision="refs/pr/1").sha == made.oid
    again = api.upload_file(**proposal | {"path_in_repo": "more.txt", "revision": "refs/pr/1"})
    assert again.oid != before == hub.repository(REPO).head.oid
    (listed,) = api.get_repo_discussions(REPO, repo_type="dataset")
    assert (listed.num, listed.author, listed.status, listed.is_pull_request) == (1, "other", "open", True)
    api.merge_pull_request(REPO, 1, repo_type="dataset")
    assert api.get_discussion_details(REPO, 1, repo_type="dataset").status == "merged"
    assert {"new.bin", "more.txt"} <= set(hub.contents(REPO))


def test_revisions(hub, api, tmp_path):
    """Branches, tags, pull requests and full and short hashes all name a commit."""
    first = hub.repository(REPO).head.oid
    api.create_tag(REPO, tag="v1", repo_type="dataset")
    api.create_branch(REPO, branch="next", repo_type="dataset")
    upload = {"repo_id": REPO, "repo_type": "dataset", "path_in_repo": "notes/a.txt", "path_or_fileobj": b"two\n"}
    second = api.upload_file(**upload, revision="next").oid
    assert status_of(api.upload_file, **upload, revision="v1") == 404
    assert status_of(api.create_branch, REPO, branch="next", repo_type="dataset") == 409
    assert status_of(api.create_tag, REPO, tag="v1", repo_type="dataset") == 409
    for revision, oid in {"main": first, "v1": first, first[:8]: first, "next": second, second: second}.items():
        assert api.dataset_info(REPO, revision=revision).sha == oid
        path = hf_hub_download(REPO, "notes/a.txt", repo_type="dataset", revision=revision)
        assert open(path).read() == {first: "one\n", second: "two\n"}[oid]
    refs = api.list_repo_refs(REPO, repo_type="dataset", include_pull_requests=True)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": first, "next": second}
    assert [(ref.name, ref.ref) for ref in refs.tags] == [("v1", "refs/tags/v1")] and refs.pull_requests == []
    api.delete_tag(REPO, tag="v1", repo_type="dataset")
    api.delete_branch(REPO, branch="next", repo_type="dataset")
    for revision in ("v1", "next", "0" * 40):
        with pytest.raises(RevisionNotFoundError):
            api.dataset_info(REPO, revision=revision)


def test_listings_are_paged(hub, api):
    for number in range(5):
        hub.put(REPO, f"many/{number}.txt", b"%d" % number)
    hub.page_size = 2
    entries = {entry.path: entry for entry in api.list_repo_tree(REPO, recursive=True, repo_type="dataset")}
    assert set(entries) == set(hub.contents(REPO)) | {"many", "notes", "dpc_5"}
    assert len(hub.log("GET", "/tree/")) == 6
    assert entries["dpc_5/train.parquet"].lfs.sha256 == hashlib.sha256(LARGE).hexdigest()
    below = list(api.list_repo_tree(REPO, "many", expand=True, repo_type="dataset"))
    assert [entry.last_commit.title for entry in below] == [f"Put many/{number}.txt" for number in range(5)]
    assert len(api.list_repo_commits(REPO, repo_type="dataset")) == 7
    found = api.get_paths_info(REPO, ["many", "notes/a.txt", "missing"], repo_type="dataset")
    assert [entry.path for entry in found] == ["many", "notes/a.txt"]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(REPO, "missing", repo_type="dataset"))


def test_downloads(hub, api):
    path = snapshot_download(REPO, repo_type="dataset")
    for name, content in hub.contents(REPO).items():
        assert open(f"{path}/{name}", "rb").read() == content
    hub.requests.clear()
    assert hf_hub_download(REPO, "notes/a.txt", repo_type="dataset").startswith(path)
    assert [one.method for one in hub.requests] == ["HEAD"]  # the file itself is there
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(REPO, "missing.txt", repo_type="dataset")


def test_ranges(hub, api):
    fs = HfFileSystem(token=hub.token)
    for name, content in {"dpc_5/train.parquet": LARGE, "README.md": CARD.encode()}.items():
        path = f"datasets/{REPO}/{name}"
        assert fs.cat_file(path, start=10, end=30) == content[10:30]
        assert fs.cat_file(path) == content
        url = f"{hub.url}/datasets/{REPO}/resolve/main/{name}"
        assert get_session().get(url, headers={"Range": "bytes=-5"}).content == content[-5:]
        past = get_session().get(url, headers={"Range": f"bytes={len(content)}-"})
        assert past.status_code == 416 and past.headers["Content-Range"] == f"bytes */{len(content)}"


def test_the_token_does_not_go_to_the_storage(hub, api):
    snapshot_download(REPO, repo_type="dataset")
    requests = hub.log(path="^/lfs-store/")
    assert {one.method for one in requests} == {"PUT", "GET"}
    assert {(one.user, one.status) for one in requests} == {(None, 200)}
    refused = get_session().get(f"{hub.storage.url}/lfs-store/x", headers={"Authorization": f"Bearer {hub.token}"})
    assert refused.status_code == 400


@pytest.mark.parametrize("private", [False, True])
def test_who_may_read_and_write(hub, api, private):
    api.update_repo_settings(REPO, private=private, repo_type="dataset")
    upload = {"repo_id": REPO, "repo_type": "dataset", "path_in_repo": "x.txt", "path_or_fileobj": b"x"}
    for token, read, write in [
        (hub.token, 200, 200),
        (hub.read_token, 200, 403),
        (hub.other_token, 404 if private else 200, 404 if private else 403),
        (False, 401 if private else 200, 401),
        ("hf_" + "x" * 34, 401, 401),
    ]:
        client = HfApi(token=token)
        for expected, call, arguments in (
            (read, client.dataset_info, {"repo_id": REPO}),
            (read, client.get_hf_file_metadata, {"url": hf_hub_url(REPO, "README.md", repo_type="dataset")}),
            (write, client.upload_file, upload),
        ):
            if expected == 200:
                call(**arguments)
            else:
                assert status_of(call, **arguments) == expected
    assert [commit.title for commit in hub.repository(REPO).history(hub.repository(REPO).head)].count("First") == 1
    assert len(hub.repository(REPO).commits) == 3  # the owner's upload is the only one


def test_repositories_of_others(hub, api):
    stranger = HfApi(token=hub.other_token)
    assert status_of(stranger.create_repo, "user/mine", repo_type="dataset") == 403
    assert status_of(stranger.delete_repo, REPO, repo_type="dataset") == 403
    assert status_of(HfApi(token=False).create_repo, "user/mine") == 401
    with pytest.raises(RepositoryNotFoundError):
        stranger.dataset_info("user/missing")
    assert stranger.whoami()["name"] == "other"
    assert api.create_repo("user-org/sets", repo_type="dataset", private=True).repo_id == "user-org/sets"


def test_cards_are_checked(hub, api):
    DatasetCard(CARD).validate()
    assert api.dataset_info(REPO).card_data.license == "mit"
    assert "license:mit" in api.dataset_info(REPO).tags
    card = DatasetCard.load(REPO)
    card.text += "\nMore.\n"
    card.push_to_hub(REPO)
    assert DatasetCard.load(REPO).text.endswith("More.\n")
    before = hub.repository(REPO).head.oid
    for old, new in [
        ("license: mit", "license: nobody's"),
        ("language: en", "language: English"),
        ("config_name: dpc_5", "nome: dpc_5"),
        ("license:", "license: ["),
        ("language: en", "license: mit"),  # the same key twice
    ]:
        upload = {"path_or_fileobj": CARD.replace(old, new).encode(), "path_in_repo": "README.md", "repo_id": REPO}
        with pytest.raises(ValueError, match="Invalid metadata"):
            api.upload_file(**upload, repo_type="dataset")
    with pytest.raises(ValueError, match='"license" must be one of'):
        DatasetCard(CARD.replace("mit", "nobody's")).validate()
    assert hub.repository(REPO).head.oid == before
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.upload_file(path_or_fileobj=b"# No", path_in_repo="README.md", repo_id=REPO, repo_type="dataset")


def test_a_hostile_repository_can_be_made(hub, api):
    hub.put(REPO, "../outside.txt", b"x")
    hub.put(REPO, "dpc_5/link.parquet", b"/etc/passwd", listed_as="symlink")
    listed = {path for path in hub.contents(REPO)}
    assert {"../outside.txt", "dpc_5/link.parquet"} <= listed
    assert "../outside.txt" in {one.rfilename for one in api.dataset_info(REPO).siblings}
    assert "../outside.txt" in {entry.path for entry in api.list_repo_tree(REPO, recursive=True, repo_type="dataset")}
