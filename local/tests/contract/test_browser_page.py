"""A real Chromium on a page of another origin: nothing that the page tries reaches the local AWS."""

from __future__ import annotations

import http.server
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from stepbridge_local.testing import LocalAwsProcess

BROWSER: Final = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
WITHIN_SECONDS: Final = 120.0
PIXEL: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cfc0500f0003860180"
    "5a347d6b0000000049454e44ae426082"
)

# What a page can try. Each attempt ends in a word: what the page itself learns of it.
PAGE: Final = """<!doctype html><meta charset="utf-8"><title>attacker</title><body><script>
const endpoint = ENDPOINT, outcomes = {};
const within = (promise) => Promise.race([promise, new Promise((done) => setTimeout(() => done("nothing"), 8000))]);
const attempt = async (name, action) => {
  try { outcomes[name] = String(await within(action())); } catch (error) { outcomes[name] = "refused"; }
};
const shown = (answer) => answer.type === "opaque" ? "unseen" : answer.text().then((text) => answer.ok ? "read" : "refused");
const loaded = (kind, address) => new Promise((done) => {
  const element = document.createElement(kind);
  element.onload = () => done("loaded");
  element.onerror = () => done("refused");
  element.src = address;
  document.body.append(element);
});
const form = (action, kind, fields) => new Promise((done) => {
  const frame = document.createElement("iframe"), element = document.createElement("form");
  frame.name = "frame" + Math.random();
  document.body.append(frame);
  Object.assign(element, {action, method: "POST", enctype: kind, target: frame.name});
  for (const [name, value] of Object.entries(fields)) {
    const field = document.createElement("input");
    Object.assign(field, {type: "hidden", name, value});
    element.append(field);
  }
  document.body.append(element);
  frame.onload = () => done("sent");
  element.submit();
});
const target = (operation) => ({
  "X-Amz-Target": operation, "Content-Type": "application/x-amz-json-1.1",
  "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/codebuild/aws4_request, Signature=x",
});
const project = JSON.stringify({
  name: "from-a-page", source: {type: "NO_SOURCE", buildspec: "version: 0.2\\nphases: {build: {commands: [id]}}"},
  artifacts: {type: "NO_ARTIFACTS"}, serviceRole: "arn:aws:iam::123456789012:role/build",
  environment: {type: "LINUX_CONTAINER", image: "x", computeType: "BUILD_GENERAL1_SMALL"},
});
(async () => {
  await attempt("create project", () => fetch(endpoint + "/", {method: "POST", headers: target("CodeBuild_20161006.CreateProject"), body: project}).then(shown));
  await attempt("start build", () => fetch(endpoint + "/", {method: "POST", headers: target("CodeBuild_20161006.StartBuild"), body: '{"projectName": "from-a-page"}'}).then(shown));
  await attempt("plain post", () => fetch(endpoint + "/", {method: "POST", mode: "no-cors", body: "Action=CreateQueue&QueueName=from-a-page"}).then(shown));
  await attempt("put object", () => fetch(endpoint + "/bucket/put", {method: "PUT", body: "x"}).then(shown));
  await attempt("read object", () => fetch(endpoint + "/bucket/pixel.png").then(shown));
  await attempt("read health", () => fetch(endpoint + "/_stepbridge/health").then(shown));
  await attempt("read page", () => fetch(endpoint + "/_stepbridge/").then(shown));
  await attempt("prebuilt images", () => fetch(endpoint + "/_stepbridge/prebuilt-images", {method: "POST", mode: "no-cors"}).then(shown));
  await attempt("set faults", () => fetch(endpoint + "/_stepbridge/faults", {method: "POST", mode: "no-cors", body: '[{"kind": "iam"}]'}).then(shown));
  await attempt("moto reset", () => fetch(endpoint + "/moto-api/reset", {method: "POST", mode: "no-cors"}).then(shown));
  await attempt("beacon", async () => navigator.sendBeacon(endpoint + "/bucket/beacon", "x") && "sent");
  await attempt("image", () => loaded("img", endpoint + "/bucket/pixel.png"));
  await attempt("script", () => loaded("script", endpoint + "/bucket/script.js"));
  await attempt("form object", () => form(endpoint + "/bucket", "multipart/form-data", {key: "form", file: "x"}));
  await attempt("form action", () => form(endpoint + "/", "application/x-www-form-urlencoded", {Action: "CreateQueue", QueueName: "from-a-page"}));
  await attempt("form text", () => form(endpoint + "/?X-Amz-Target=CodeBuild_20161006.CreateProject", "text/plain", {x: project}));
  await attempt("web socket", () => new Promise((done) => {
    const socket = new WebSocket(endpoint.replace("http", "ws") + "/_stepbridge/");
    socket.onopen = () => done("opened");
    socket.onerror = () => done("refused");
  }));
  await attempt("event source", () => new Promise((done) => {
    const source = new EventSource(endpoint + "/_stepbridge/");
    source.onopen = () => done("opened");
    source.onerror = () => { source.close(); done("refused"); };
  }));
  await attempt("frame", () => new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.onload = () => { try { done(frame.contentDocument ? "read" : "unseen"); } catch (error) { done("unseen"); } };
    frame.src = endpoint + "/_stepbridge/";
    document.body.append(frame);
  }));
  await fetch("/outcomes", {method: "POST", body: JSON.stringify(outcomes)});
})();
</script></body>
"""  # noqa: E501
NOTHING_LEARNT: Final = {"refused", "unseen", "sent", "nothing"}


class Attacker(http.server.ThreadingHTTPServer):
    """Serves the page on a port of its own, and takes what the page says came of it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page = ""
        self.outcomes: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Attacker

    def do_GET(self) -> None:
        self._answer(self.server.page.encode() if self.path == "/" else b"")

    def do_POST(self) -> None:
        self.server.outcomes.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Says nothing."""


@pytest.fixture
def attacker() -> Iterator[Attacker]:
    server = Attacker()
    yield server
    server.shutdown()
    server.server_close()


def visit(attacker: Attacker, host: str, endpoint: str, profile: Path) -> dict[str, str]:
    """What came of each attempt of the page, opened under ``host``."""
    attacker.page = PAGE.replace("ENDPOINT", json.dumps(endpoint))
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command = [BROWSER, *options, f"--user-data-dir={profile}", f"http://{host}:{attacker.port}/"]
    with (profile.parent / "chromium.log").open("w") as log:
        browser = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            return attacker.outcomes.get(timeout=WITHIN_SECONDS)
        except queue.Empty:
            log.flush()
            pytest.fail(f"the page said nothing within {WITHIN_SECONDS} s: {Path(log.name).read_text()[-2000:]}")
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()


def with_a_bucket(local_aws: LocalAwsProcess) -> None:
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="bucket", ACL="public-read-write")
    s3.put_object(Bucket="bucket", Key="pixel.png", Body=PIXEL, ContentType="image/png", ACL="public-read")
    s3.put_object(Bucket="bucket", Key="script.js", Body=b"1", ContentType="text/javascript", ACL="public-read")


def state(local_aws: LocalAwsProcess) -> dict[str, Any]:
    """What a page could have changed."""
    return {
        "projects": local_aws.client("codebuild").list_projects()["projects"],
        "builds": local_aws.client("codebuild").list_builds()["ids"],
        "queues": local_aws.client("sqs").list_queues().get("QueueUrls", []),
        "objects": [item["Key"] for item in local_aws.client("s3").list_objects_v2(Bucket="bucket")["Contents"]],
        "images": list((local_aws.data_dir / "images").glob("*")),
    }


needs_a_browser = pytest.mark.skipif(not BROWSER, reason="no chromium on PATH (Debian: apt-get install chromium)")


@pytest.mark.long
@needs_a_browser
@pytest.mark.parametrize("seen_as", ["127.0.0.1", "localhost", "attacker.localhost"])
@pytest.mark.parametrize("host", ["127.0.0.1", "attacker.localhost"])
def test_a_page_of_another_origin_reaches_nothing(
    own_local_aws: LocalAwsProcess, attacker: Attacker, tmp_path: Path, host: str, seen_as: str
) -> None:
    """Services, admin API and pages: it learns nothing, and nothing has changed."""
    with_a_bucket(own_local_aws)
    before = state(own_local_aws)
    endpoint = own_local_aws.endpoint_url.replace("127.0.0.1", seen_as)
    outcomes = visit(attacker, host, endpoint, tmp_path / "profile")
    assert set(outcomes.values()) <= NOTHING_LEARNT, outcomes
    assert len(outcomes) == PAGE.count("await attempt(")
    assert state(own_local_aws) == before
    assert before["objects"] == ["pixel.png", "script.js"]


@pytest.mark.long
@needs_a_browser
def test_the_same_page_does_what_it_likes_where_its_origin_is_allowed(attacker: Attacker, tmp_path: Path) -> None:
    """So the attempts are good ones: --allow-origin is what lets them in."""
    local_aws = LocalAwsProcess(tmp_path / "data", ("--allow-origin", f"http://127.0.0.1:{attacker.port}"))
    local_aws.start()
    with_a_bucket(local_aws)
    outcomes = visit(attacker, "127.0.0.1", local_aws.endpoint_url, tmp_path / "profile")
    assert (outcomes["create project"], outcomes["start build"], outcomes["put object"]) == ("read",) * 3, outcomes
    changed = state(local_aws)
    assert changed["projects"] == ["from-a-page"]
    assert "put" in changed["objects"]
    assert local_aws.stop() == 0
