"""The error tree and the one table that turns a leaf into an answer."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from poster_service import errors
from poster_service.errors import Fault
from poster_service.problems import INTERNAL, status_of
from poster_service.web import problems
from tests.unit.public_errors import LEAVES, PUBLIC

#: The codes that callers write programs against. A line may be added; none may change.
CODES = {
    "BadRequest": ("bad_request", 400),
    "InvalidField": ("invalid_field", 400),
    "UnknownTemplate": ("unknown_template", 404),
    "InvalidData": ("invalid_data", 422),
    "BodyTooLarge": ("body_too_large", 413),
    "BodyTooSlow": ("body_timeout", 408),
    "HeadersTooLarge": ("headers_too_large", 431),
    "JsonTooComplex": ("json_too_complex", 400),
    "FormTooComplex": ("form_too_complex", 400),
    "UnsupportedMediaType": ("unsupported_media_type", 415),
    "WaitFailed": ("wait_failed", 422),
    "FetchDenied": ("fetch_denied", 422),
    "ScriptFailed": ("script_error", 422),
    "MissingGlyph": ("missing_glyph", 422),
    "FetchFailed": ("fetch_failed", 502),
    "ResourceStatus": ("resource_status", 502),
    "UnknownResult": ("unknown_result", 404),
    "UnknownDeadLetter": ("unknown_dead_letter", 404),
    "UnknownJob": ("unknown_job", 404),
    "JobEnded": ("job_ended", 409),
    "KeyReused": ("idempotency_key_reused", 422),
    "TooManyJobs": ("too_many_jobs", 429),
    "UnknownBatch": ("unknown_batch", 404),
    "BatchEnded": ("batch_ended", 409),
    "TooManyBatches": ("too_many_batches", 429),
    "QueueUnavailable": ("queue_unavailable", 503),
    "JobsMissing": ("jobs_missing", 501),
    "JobLost": ("job_lost", 502),
    "DestinationDenied": ("destination_denied", 422),
    "DestinationFailed": ("destination_failed", 502),
    "StorageFailed": ("storage_failed", 502),
    "UrlStatus": ("url_status", 422),
    "NotAPage": ("not_a_page", 422),
    "UrlUnreachable": ("url_unreachable", 502),
    "Unauthorized": ("unauthorized", 401),
    "CrossOriginForm": ("cross_origin_form", 403),
    "CrossOriginRequest": ("cross_origin_request", 403),
    "UnknownHost": ("unknown_host", 421),
    "BadSignature": ("bad_signature", 403),
    "UnknownKey": ("unknown_key", 403),
    "UrlExpired": ("url_expired", 403),
    "ExpiryTooFar": ("expiry_too_far", 403),
    "RateLimited": ("rate_limited", 429),
    "ConcurrencyLimited": ("concurrency_limited", 429),
    "NotAcceptable": ("not_acceptable", 406),
    "PictureTooLarge": ("picture_too_large", 422),
    "ContentTooLarge": ("content_too_large", 422),
    "PagesOutOfRange": ("pages_out_of_range", 422),
    "SelectorNotFound": ("selector_not_found", 422),
    "SelectorEmpty": ("selector_empty", 422),
    "ClipOutside": ("clip_outside", 422),
    "Overloaded": ("overloaded", 503),
    "Stopping": ("stopping", 503),
    "PageCrashed": ("page_crashed", 502),
    "PageFailed": ("page_failed", 502),
    "ChromeDied": ("chrome_died", 502),
    "RenderTimeout": ("render_timeout", 504),
}


def answer(error: errors.PosterError) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers of the answer to an error."""
    response = problems.answer(error, "request-1")
    assert response.content_type == "application/problem+json"
    assert response.text is not None
    return response.status, json.loads(response.text), dict(response.headers)


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_leaf_has_a_line_in_the_table(kind: type[errors.PosterError]) -> None:
    """Its own or an ancestor's; none falls through to "something went wrong"."""
    status, title = status_of(kind("words"))
    assert (status, title) != INTERNAL
    assert 400 <= status < 600
    assert title


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_the_branch_says_whose_fault_it_is(kind: type[errors.PosterError]) -> None:
    """4xx for the caller's, 5xx for load, Chrome's and the operator's."""
    status, _ = status_of(kind("words"))
    assert (status < 500) == issubclass(kind, errors.CallerError)


def test_codes_are_what_they_were() -> None:
    """Callers write programs against them, and against the status."""
    found = {kind.__name__: (kind.code, status_of(kind("words"))[0]) for kind in PUBLIC}
    assert found == CODES


def test_codes_are_unique() -> None:
    """One code, one kind of error; all of them fit for a switch."""
    codes = [kind.code for kind in PUBLIC]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)
    assert errors.PosterError.code not in codes


def test_the_tree_at_the_top_of_the_package_is_the_tree() -> None:
    """Every class is drawn there, and nothing else; all are imported from there."""
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))

    def names(kind: type[errors.PosterError]) -> Iterator[str]:
        for one in kind.__subclasses__():
            if one.__module__.startswith(f"{errors.__name__}."):  # the load test has one of its own
                yield one.__name__
                yield from names(one)

    assert drawn == set(names(errors.PosterError))
    assert drawn - set(errors.__all__) == set()


def test_every_fault_is_reported_with_its_field_and_what_is_allowed() -> None:
    """The first also at the top, for those who look at one only."""
    error = errors.InvalidField.of(Fault("width", "is too much", "1 to 5"), Fault("height", "no"))
    status, body, _ = answer(error)
    assert (status, body["status"], body["code"]) == (400, 400, "invalid_field")
    assert (body["field"], body["allowed"]) == ("width", "1 to 5")
    assert body["errors"] == [
        {"field": "width", "message": "is too much", "allowed": "1 to 5"},
        {"field": "height", "message": "no", "allowed": None},
    ]
    assert body["detail"] == "width: is too much (allowed: 1 to 5) (and 1 more)"
    assert body["request_id"] == "request-1"
    assert {"type", "title", "status", "detail"} <= body.keys()


@pytest.mark.parametrize(
    "kind", [errors.Overloaded, errors.Stopping, errors.RateLimited, errors.ConcurrencyLimited]
)
def test_who_is_turned_away_hears_when_to_come_back(
    kind: type[errors.LoadError | errors.OverQuota],
) -> None:
    """In whole seconds."""
    assert answer(kind("full", retry_after=7))[2]["Retry-After"] == "7"


@pytest.mark.parametrize("kind", [one for one in LEAVES if status_of(one("x"))[0] == 503])
def test_every_503_has_a_retry_after(kind: type[errors.PosterError]) -> None:
    """No room now means that there will be: the issue promises the header with each of them."""
    assert int(answer(kind("words"))[2]["Retry-After"]) >= 1


@pytest.mark.parametrize("kind", [one for one in LEAVES if issubclass(one, errors.OperatorError)])
def test_what_is_for_the_operator_does_not_reach_the_caller(
    kind: type[errors.PosterError],
) -> None:
    """Paths and Chrome's own words go to the log only; the code is not that of a fault in us."""
    _, body, _ = answer(kind("POSTER_CHROME=/secret/path: FATAL"))
    assert "secret" not in json.dumps(body)


def test_a_cause_stays_inside() -> None:
    """The log has it."""
    error = errors.PageFailed("the page could not be loaded")
    error.__cause__ = RuntimeError("/secret/path")
    assert "secret" not in json.dumps(answer(error)[1])


def test_an_error_without_a_branch_is_a_500() -> None:
    """The root of the tree has no line."""
    assert answer(errors.PosterError("words"))[0] == 500


def test_an_answer_is_readable_in_any_language() -> None:
    """What the caller wrote comes back as they wrote it."""
    _, body, _ = answer(errors.InvalidField.of(Fault("标题", "不行", "好的")))
    assert body["field"] == "标题"
