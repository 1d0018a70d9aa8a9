"""What BigQuery says reaches the user: its own sentence, no row's value, and what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.pipeline.bigquery_reasons import MASK, READING, bigquery_reason, masked, reason, reason_of

exceptions = pytest.importorskip("google.api_core.exceptions", reason="needs the extra gcp")

JANE = "jane.doe@example.com"


def of(kind: str, message: str, code: str = "", url: str = "GET https://bigquery.googleapis.com/x: ") -> str:
    errors = [{"reason": code, "message": message}] if code else []
    return str(reason_of(getattr(exceptions, kind)(f"{url}{message}", errors=errors)))


@pytest.mark.parametrize(
    ("kind", "code", "message", "cure"),
    [
        (
            "BadRequest",
            "invalidQuery",
            "Cannot query over table 'acme.shop.orders' without a filter over column(s) 'received_at' that"
            " can be used for"
            " partition elimination",
            "Give --since, and --time-column received_at, so that only some partitions are read; in a query, a WHERE on"
            " received_at",
        ),
        (
            "InvalidArgument",  # of the Storage API
            "",
            "request failed: Query error: Cannot query over table 'acme.shop.orders' without a filter over column(s)"
            " '_PARTITION_LOAD_TIME', '_PARTITIONDATE', '_PARTITIONTIME' that can be used for partition elimination",
            "Give --since, and --time-column _PARTITIONTIME, so that only some partitions are read; in a"
            " query, a WHERE on"
            " _PARTITIONTIME",
        ),
        (
            "BadRequest",
            "bytesBilledLimitExceeded",
            "Query exceeded limit for bytes billed: 1000000. 10485760 or higher required",
            "Read less (--since, --until), or allow more: --max-bytes-billed",
        ),
        (
            "Forbidden",
            "accessDenied",
            "Access Denied: Project acme: User does not have bigquery.jobs.create permission in project acme",
            "The account needs roles/bigquery.jobUser on the project that pays for queries (--project)",
        ),
        (
            "PermissionDenied",
            "",
            "request failed: the user does not have 'bigquery.readsessions.create' permission for 'projects/acme'",
            "The account needs roles/bigquery.readSessionUser on the project",
        ),
        (
            "PermissionDenied",
            "",
            "there was an error operating on 'projects/x/locations/us/sessions/y/streams/z': the user does not have"
            " 'bigquery.readsessions.getData' permission for 'projects/x/locations/us/sessions/y/streams/z'",
            "The account needs roles/bigquery.readSessionUser on the project",
        ),
        (
            "Forbidden",
            "accessDenied",
            "Access Denied: Table acme:shop.orders: Permission bigquery.tables.getData denied on table"
            " acme:shop.orders (or"
            " it may not exist)",
            "The account needs roles/bigquery.dataViewer on the dataset",
        ),
        (
            "Forbidden",
            "accessDenied",
            "Access Denied: Table acme:shop.orders: User does not have permission to query table acme:shop.orders, or"
            " perhaps it does not exist",
            READING,
        ),
        (
            "Forbidden",
            "quotaExceeded",
            "Quota exceeded: Your project exceeded quota for free query bytes scanned",
            "Wait until the quota is there again, or have it raised: IAM & Admin, Quotas",
        ),
        (
            "Forbidden",
            "quotaExceeded",
            "Custom quota exceeded: Your usage exceeded the custom quota for QueryUsagePerUserPerDay, which"
            " is set by your"
            " administrator",
            "Wait until the quota is there again, or have it raised: IAM & Admin, Quotas",
        ),
        (
            "Forbidden",
            "rateLimitExceeded",
            "Exceeded rate limits: too many concurrent queries for this project_and_region",
            "Try again in some minutes, with fewer at once",
        ),
        (
            "Forbidden",
            "billingNotEnabled",
            "Access Denied: BigQuery BigQuery: Billing has not been enabled for this project",
            "Enable billing for the project, or name another that pays: --project",
        ),
        (
            "NotFound",
            "notFound",
            "Not found: Dataset acme:shop was not found in location US",
            "BigQuery looked in US. All tables of a query must be in one location, the one in which it runs: bq show"
            " --format=prettyjson PROJECT:DATASET names a dataset's",
        ),
        (
            "NotFound",
            "notFound",
            "Not found: Table acme:shop.orders",
            "Check its name, and that it was not deleted meanwhile",
        ),
        (
            "Forbidden",
            "accessDenied",
            "BigQuery API has not been used in project 123 before or it is disabled",
            "gcloud services enable bigquery.googleapis.com bigquerystorage.googleapis.com; it takes some minutes",
        ),
    ],
)
def test_a_known_reason_is_bigquerys_own_sentence_and_what_to_do(kind: str, code: str, message: str, cure: str) -> None:
    assert of(kind, f"{message}.\nLocation: EU\nJob ID: 3f5e-1", code) == f"{message}. {cure}"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (f"Bad int64 value: {JANE}", "Bad int64 value: …"),
        (
            "Could not parse 'Jane Doe' as a timestamp. Required format is X",
            "Could not parse … as a timestamp. Required format is …",
        ),
        ("Division by zero: 5 / 0", "Division by zero: …"),
        ("Jane Doe of London said so", "… of …"),  # of ERROR() in the query, which may say anything
        ("Scalar subquery produced more than one element", "Scalar subquery produced more than one element"),
        # a row that reads like a reason
        (f"bad row {JANE}: quota exceeded, access denied, try again", "bad row …"),
        (
            "Cannot query over table 'x' without a filter over column(s) 'a' that can be used for partition elimination"
            f" {JANE}",
            "Cannot query over table",
        ),
    ],
)
def test_of_an_error_that_a_row_may_have_caused_no_value_is_shown(message: str, said: str) -> None:
    found = of("BadRequest", f"{message}\nLocation: EU\nJob ID: 3f5e-1", "invalidQuery")
    assert found.startswith(said)
    assert "Jane" not in found
    assert "jane" not in found


def test_where_the_whole_sentence_stands_is_said() -> None:
    error = exceptions.BadRequest(f"Bad int64 value: {JANE}\n\nLocation: EU\nJob ID: 3f5e-1")
    assert str(reason_of(error)) == (
        "Bad int64 value: …. … may be a row's value; bq show -j 3f5e-1 has the whole sentence"
    )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Unrecognized name: emial at [1:8]", "Unrecognized name: emial at [1:8]. Correct the query"),
        (
            f'Could not cast literal "{JANE}" to type DATE at [1:30]',
            "Could not cast literal … to type DATE at [1:30]. Correct the query",
        ),
        (
            'Syntax error: Unexpected string literal "Jane Doe" at [1:8]',
            "Syntax error: Unexpected string literal … at [1:8]. Correct the query",
        ),
    ],
)
def test_a_mistake_in_the_query_is_shown_with_its_place_and_without_its_values(message: str, said: str) -> None:
    assert of("BadRequest", message, "invalidQuery") == said


def test_accounts_of_people_are_left_out_and_those_of_services_are_not() -> None:
    robot = "capybeam@acme.iam.gserviceaccount.com"
    assert of("Forbidden", f"Access Denied: {robot} may not, {JANE} may", "accessDenied").startswith(
        f"Access Denied: {robot} may not, … may. "
    )


@given(st.text(st.characters(blacklist_categories=("Zs", "Zl", "Zp", "Cc")), min_size=12, max_size=40))
def test_no_word_that_is_not_a_databases_gets_through(word: str) -> None:
    said = str(reason(f"Bad value {word} in column {word}", "invalidQuery"))
    assert word not in said or word.lower().strip(".,:;()[]") in ("", "timestamp") or not word.strip(".,:;()[]")


def test_words_in_a_row_become_one_mask() -> None:
    assert masked("Could not cast Jane Anne Doe to INT64") == f"Could not cast {MASK} to INT64"


# --- in a run ----------------------------------------------------------------------------------------------------


def raised_by_the_storage_api(error: Exception) -> Exception:
    scope = {"error": error, "__name__": "google.cloud.bigquery_storage_v1.reader"}
    try:
        exec(compile("raise error", "google/cloud/bigquery_storage_v1/reader.py", "exec"), scope)
    except Exception as found:
        return found
    raise AssertionError


def test_a_table_that_is_deleted_while_it_is_read_is_named() -> None:
    error = raised_by_the_storage_api(exceptions.NotFound("Not found: Table acme:shop.orders"))
    wrapped = RuntimeError("the bundle failed")
    wrapped.__cause__ = error
    for failure in (error, wrapped):
        assert str(bigquery_reason(failure)) == (
            "Not found: Table acme:shop.orders. Check its name, and that it was not deleted meanwhile"
        )


def test_a_reason_is_found_in_the_text_of_a_runner() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "google/cloud/bigquery_storage_v1/reader.py", line 1, in read\n'
        "google.api_core.exceptions.PermissionDenied: 403 the user does not have"
        " 'bigquery.readsessions.getData' permission"
        " for 'projects/x' [while running 'Input/Read']\n"
    )
    assert str(bigquery_reason(RuntimeError(text))) == (
        "the user does not have 'bigquery.readsessions.getData' permission for 'projects/x'. The account needs"
        " roles/bigquery.readSessionUser on the project"
    )
    rows = text.replace("PermissionDenied: 403 the", f"InvalidArgument: 400 Bad int64 value: {JANE} the")
    assert JANE not in str(bigquery_reason(RuntimeError(rows)))


APITOOLS = (
    "Traceback (most recent call last):\n"
    '  File "apitools/base/py/base_api.py", line 1, in x\n'
    "apitools.base.py.exceptions.HttpNotFoundError: HttpError accessing <https://bigquery.googleapis.com/bigquery/v2/x>:"
    " response: <{'content-type': 'application/json', 'status': '404'}>, content <{\n"
    '  "error": {\n    "code": 404,\n    "message": "Not found: Table acme:shop.orders",\n'
    '    "errors": [{"message": "Not found: Table acme:shop.orders", "reason": "notFound"}]\n  }\n}\n> [while running'
    " 'Input/Read']"
)


def test_a_reason_is_found_in_what_beams_older_client_says() -> None:
    assert str(bigquery_reason(RuntimeError(APITOOLS))) == (
        "Not found: Table acme:shop.orders. Check its name, and that it was not deleted meanwhile"
    )
    rows = APITOOLS.replace("'404'", "'400'").replace("notFound", "invalid").replace("Not found: Table", f"Bad {JANE}")
    assert JANE not in str(bigquery_reason(RuntimeError(rows)))
    assert bigquery_reason(RuntimeError(APITOOLS.replace("/bigquery/", "/storage/"))) is None


@pytest.mark.parametrize("error", [ValueError("bigquery jane"), RuntimeError("bigquery jane"), OSError("x")])
def test_other_errors_have_no_reason_of_bigquerys(error: Exception) -> None:
    assert bigquery_reason(error) is None
