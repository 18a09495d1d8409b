"""Which requests the local AWS answers, by their Host, Origin and Sec-Fetch-Site."""

from __future__ import annotations

from typing import Any

import pytest

from stepbridge_local.http.admission import Admission, admitted

OWN = {"HTTP_HOST": "127.0.0.1:4566"}


def answer(headers: dict[str, str], admission: Admission | None = None, **request: str) -> tuple[str, dict[str, str]]:
    """Status and headers of the answer to a request; the application behind answers every one with CORS headers."""
    answered: list[Any] = []

    def application(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Access-Control-Allow-Origin", "*"), ("ETag", "x")])
        return []

    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", **headers, **request}
    guarded = admitted(application, admission or Admission(4566))
    list(guarded(environ, lambda status, headers, _error=None: answered.extend([status, dict(headers)])))
    return answered[0], answered[1]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:4566",
        "127.8.9.1",
        "[::1]:4566",
        "localhost",
        "LocalHost:4566",
        "localhost.",
        "bucket.localhost:4566",
        "s3.amazonaws.com",
        "bucket.s3.eu-west-1.amazonaws.com",
        "my.bucket.s3.amazonaws.com",
        "states.us-east-1.amazonaws.com",
        "sync-states.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "sts.us-gov-west-1.amazonaws.com",
        "api.sagemaker.us-east-1.amazonaws.com",
        "s3.cn-north-1.amazonaws.com.cn",
        "codebuild.cn-north-1.api.amazonwebservices.com.cn",
        "s3.dualstack.eu-west-1.amazonaws.com",
    ],
)
def test_its_own_names_are_answered(host: str) -> None:
    """Loopback, localhost and AWS's names for its services."""
    assert answer({"HTTP_HOST": host})[0] == "200 OK"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "attacker.example",
        "attacker.example:4566",
        "127.0.0.1.attacker.example",
        "localhost.attacker.example",
        "10.0.0.5:4566",
        "0.0.0.0:4566",
        "notlocalhost",
        "amazonaws.com.attacker.example",
        "ec2-1-2-3-4.compute-1.amazonaws.com",
        "[::]:4566",
        "bucket.s3-website.amazonaws.com.evil.test",
        "localhost:4566@attacker.example",
        "::1 ",
    ],
)
def test_any_other_name_is_refused(host: str) -> None:
    """A page whose own name resolves to loopback sends that name (DNS rebinding)."""
    status, headers = answer({"HTTP_HOST": host})
    assert status == "403 Forbidden"
    assert headers["Connection"] == "close"


def test_a_name_that_was_allowed_is_answered() -> None:
    """``--allow-host`` is for the name of a service in a compose network."""
    rules = Admission(4566, hosts=frozenset({"local-aws"}))
    assert answer({"HTTP_HOST": "local-aws:4566"}, rules)[0] == "200 OK"
    assert answer({"HTTP_HOST": "other:4566"}, rules)[0] == "403 Forbidden"


@pytest.mark.parametrize("path", ["/", "/bucket/key", "/_stepbridge/", "/_stepbridge/faults", "/_stepbridge/health"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://attacker.example",
        "null",
        "",
        "https://127.0.0.1:4566",
        "http://127.0.0.1:8080",
        "http://127.0.0.1",
        "http://localhost:4566",
        "http://127.0.0.1:4566/",
        "http://127.0.0.1:45660",
        "HTTP://127.0.0.1:4566",
    ],
)
def test_another_origin_is_refused_on_every_path(origin: str, path: str) -> None:
    """Only the endpoint's own scheme, host and port are its origin; other servers of this machine are not."""
    status, headers = answer({**OWN, "HTTP_ORIGIN": origin}, PATH_INFO=path)
    assert status == "403 Forbidden"
    assert not [name for name in headers if name.lower().startswith("access-control-")]


def test_its_own_origin_is_answered_without_cors_headers() -> None:
    """CORS headers are for other origins, and none was allowed."""
    status, headers = answer({**OWN, "HTTP_ORIGIN": "http://127.0.0.1:4566"})
    assert status == "200 OK"
    assert not [name for name in headers if name.lower().startswith("access-control-")]


def test_an_origin_that_was_allowed_gets_cors_headers() -> None:
    """Its preflight requests too, which the application never sees."""
    rules = Admission(4566, origins=frozenset({"http://127.0.0.1:3000"}))
    page = {**OWN, "HTTP_ORIGIN": "http://127.0.0.1:3000", "HTTP_SEC_FETCH_SITE": "same-site"}
    status, headers = answer(page, rules)
    assert (status, headers["Access-Control-Allow-Origin"]) == ("200 OK", "http://127.0.0.1:3000")
    preflight = {**page, "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "authorization,x-amz-date"}
    status, headers = answer(preflight, rules, REQUEST_METHOD="OPTIONS")
    assert status == "204 No Content"
    assert headers["Access-Control-Allow-Headers"] == "authorization,x-amz-date"
    assert answer({**OWN, "HTTP_ORIGIN": "http://127.0.0.1:3001"}, rules)[0] == "403 Forbidden"


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", "403"), ("same-site", "403"), ("same-origin", "200"), ("none", "200")]
)
def test_a_plain_get_of_another_site_is_refused(site: str, status: str) -> None:
    """An image or a frame sends no Origin."""
    headers = {**OWN, "HTTP_SEC_FETCH_SITE": site, "HTTP_SEC_FETCH_MODE": "no-cors"}
    assert answer(headers, REQUEST_METHOD="GET")[0].startswith(status)


def test_a_link_from_another_server_of_this_machine_opens_a_page_and_nothing_else() -> None:
    """Airflow's UI links to the pages; it is another origin of the same site."""
    link = {**OWN, "HTTP_SEC_FETCH_SITE": "same-site", "HTTP_SEC_FETCH_MODE": "navigate"}
    assert answer(link, REQUEST_METHOD="GET", PATH_INFO="/_stepbridge/executions/x")[0] == "200 OK"
    assert answer(link, REQUEST_METHOD="GET", PATH_INFO="/bucket/key")[0] == "403 Forbidden"
    assert answer(link, REQUEST_METHOD="POST", PATH_INFO="/_stepbridge/faults")[0] == "403 Forbidden"


def test_a_stored_html_object_is_no_page_of_the_local_aws() -> None:
    """Else an object's script would have the endpoint's own origin."""
    assert answer(OWN, REQUEST_METHOD="GET", PATH_INFO="/bucket/page.html")[1]["Content-Security-Policy"] == "sandbox"
