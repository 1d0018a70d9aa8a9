"""What BigQuery says when it refuses, for people: its own sentence without row values, and what to do about it.

BigQuery quotes rows only where a query fails on one: `Bad int64 value: jane@example.com`. All else that it says is of
tables, columns, accounts, quotas and places. A sentence whose form is known is shown as it is. One that is not is shown
as far as its words are those of a database; whatever else is in it may be somebody's name, and becomes `…`.
"""

from __future__ import annotations

import re
import traceback
from typing import Any, Final, NamedTuple

MASK: Final = "…"
_MOST: Final = 400  # characters of a sentence


class Reason(NamedTuple):
    """Why BigQuery refuses.

    Attributes:
        sentence: BigQuery's own, on one line.
        cure: what to do; "" where nothing is known.
    """

    sentence: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.sentence}. {self.cure}" if self.cure else self.sentence


def reason_of(error: BaseException) -> Reason:
    """Of an exception of Google's clients: of BigQuery, of its Storage API, of what they are called by."""
    text, code = _text_of(error), _code_of(error)
    job = _JOB.search(_whole(error))
    status = getattr(error, "code", None)
    found = reason(text, code, job[1] if job else "", may_quote=status == 400 and code in _OF_ROWS)
    return found if found.cure else found._replace(cure=_BY_STATUS.get(status or 0, ""))


def bigquery_reason(failure: BaseException) -> Reason | None:
    """Of an error of BigQuery that a failure is, was caused by, or quotes in a runner's text; None for none."""
    error: BaseException | None = failure
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = str(error)
        if type(error).__module__ == _GOOGLES and "bigquery" in "".join(traceback.format_exception(error)).lower():
            return reason_of(error)
        if type(error).__module__.startswith(_APITOOLS) and (said := _of_apitools(text)):
            return said
        if type(error) is RuntimeError or type(error).__module__.startswith("apache_beam."):
            if _APITOOLS in text and (said := _of_apitools(text[text.rindex(_APITOOLS) :])):
                return said
            found = list(_QUOTED.finditer(text))
            if found and "bigquery" in text.lower():
                status, sentence = int(found[-1][1]), found[-1][2].partition(" [while running")[0]
                return reason(re.sub(_REQUEST, "", sentence), may_quote=status == 400)
        error = error.__cause__ or error.__context__
    return None


def _of_apitools(text: str) -> Reason | None:
    """Of an error of the older client, by which Beam asks for tables: with the answer's JSON in its text."""
    if "/bigquery/" not in text:
        return None
    status, sentence, code = (pattern.search(text) for pattern in _OF_APITOOLS)
    if sentence is None:
        return None
    kind, is_bad_request = code[1] if code else "", status is not None and status[1] == "400"
    return reason(sentence[1].replace('\\"', '"'), kind, may_quote=is_bad_request and kind in _OF_ROWS)


_APITOOLS: Final = "apitools.base.py.exceptions"
_OF_APITOOLS: Final = (
    re.compile(r"'status': '(\d{3})'"),
    re.compile(r'"message": ?"((?:[^"\\]|\\.)*)"'),
    re.compile(r'"reason": ?"(\w+)"'),
)
_GOOGLES: Final = "google.api_core.exceptions"
_QUOTED: Final = re.compile(rf"^(?:RuntimeError: )*{re.escape(_GOOGLES)}\.\w+: (\d{{3}}) (.*)", re.MULTILINE)
_REQUEST: Final = r"^(?:GET|POST|PUT|PATCH|DELETE) https?://\S+: "
_OF_ROWS: Final = ("", "invalid", "invalidQuery")  # the kinds of error that a row's value can cause


def reason(text: str, code: str = "", job: str = "", may_quote: bool = True) -> Reason:
    """Of what BigQuery says.

    Args:
        code: BigQuery's own word for the kind of error, such as ``accessDenied``.
        job: the ID of the query's job; "" for none.
        may_quote: whether a row's value may have caused it, and so stand in it.
    """
    sentence = " ".join(_ENDING.sub("", text).split())
    for known in _KNOWN:
        found = known.pattern.search(sentence)
        if found or (code and code == known.code):
            named = {name: value or "" for name, value in (found.groupdict() if found else {}).items()}
            cure = known.cure(named) if callable(known.cure) else known.cure
            is_whole = not may_quote or known.pattern.fullmatch(sentence)
            return Reason(_short(_without_people(sentence) if is_whole else masked(sentence)), cure)
    if not may_quote:
        return Reason(_short(_without_people(sentence)))
    if _POSITION.search(sentence) and _OF_QUERY.match(sentence):
        return Reason(_short(_without_literals(sentence)), "Correct the query")
    said = masked(sentence)
    details = (
        f"{MASK} may be a row's value; bq show -j {job} has the whole sentence"
        if job
        else f"{MASK} may be a row's value"
    )
    return Reason(_short(said), details if MASK in said else "")


def _whole(error: BaseException) -> str:
    return str(getattr(error, "message", None) or error)


def _text_of(error: BaseException) -> str:
    """Its sentence, without the request that it answers."""
    errors = getattr(error, "errors", None)
    if errors and isinstance(errors, (list, tuple)) and isinstance(errors[0], dict) and errors[0].get("message"):
        return str(errors[0]["message"])
    text = re.sub(_REQUEST, "", _whole(error).strip())
    return re.split(r"; reason: \w+, |, location: ", text)[0] or type(error).__name__


def _code_of(error: BaseException) -> str:
    errors = getattr(error, "errors", None)
    if errors and isinstance(errors, (list, tuple)) and isinstance(errors[0], dict):
        return str(errors[0].get("reason") or "")
    return ""


_ENDING: Final = re.compile(r"\s*(?:Location: \S+)?\s*(?:Job ID: \S+)?\s*\Z")
_JOB: Final = re.compile(r"Job ID: (\S+)")
_POSITION: Final = re.compile(r" at \[\d+:\d+\](?:;|\s*$)")
_OF_QUERY: Final = re.compile(  # errors in a query's own text, before a row has been read
    r"Syntax error|Unrecognized name|No matching signature|Table |Function not found|Column |Name "
    r"|Could not cast literal"
    r"|Type |SELECT list|Ambiguous|Duplicate|Query |Unsupported|Aggregate|Illegal|Cannot access field|Expected|Missing"
    r"|Invalid cast"
)


def _short(text: str) -> str:
    text = text.rstrip(". ")
    return text if len(text) <= _MOST else f"{text[: _MOST - 1]}{MASK}"


_ADDRESS: Final = re.compile(r"[^\s<>'\"`()]+@[^\s<>'\"`()]+\w")


def _without_people(text: str) -> str:
    """Without email addresses, but those of service accounts."""
    return _ADDRESS.sub(lambda found: found[0] if found[0].endswith("gserviceaccount.com") else MASK, text)


def _without_literals(text: str) -> str:
    """What is said of a query's own text, without the values that stand in it."""
    text = re.sub(r"(?i)(literal\s+)(\"[^\"]*\"|'[^']*'|\S+)", rf"\1{MASK}", _without_people(text))
    quoted = re.compile(r"\"([^\"]*)\"|'([^']*)'")
    return quoted.sub(lambda found: found[0] if re.fullmatch(r"[\w.$:*-]+", found[1] or found[2] or "") else MASK, text)


# --- reasons whose form is known ---------------------------------------------------------------------------------

_ROLES: Final = (
    ("bigquery.jobs.create", "roles/bigquery.jobUser on the project that pays for queries (--project)"),
    ("bigquery.readsessions", "roles/bigquery.readSessionUser on the project"),
    ("bigquery.tables.getData", "roles/bigquery.dataViewer on the dataset"),
    ("bigquery.tables.updateData", "roles/bigquery.dataEditor on the dataset"),
    ("bigquery.tables.update", "roles/bigquery.dataEditor on the dataset"),
    ("bigquery.tables.create", "roles/bigquery.dataEditor on the dataset"),
    ("bigquery.tables", "roles/bigquery.dataViewer on the dataset"),
    ("bigquery.datasets", "roles/bigquery.dataViewer on the dataset"),
    ("bigquery.routines", "roles/bigquery.dataViewer on the dataset of the function"),
    ("serviceusage.services.use", "roles/serviceusage.serviceUsageConsumer on the project"),
)
READING: Final = (
    "Reading takes roles/bigquery.dataViewer on the dataset, and on the project roles/bigquery.jobUser and"
    " roles/bigquery.readSessionUser"
)


def _role(found: dict[str, str]) -> str:
    permission = found.get("permission", "")
    role = next((role for prefix, role in _ROLES if permission.startswith(prefix)), None)
    return f"The account needs {role}" if role else READING


def _filter(found: dict[str, str]) -> str:
    columns = re.findall(r"[A-Za-z_]\w*", found["columns"]) or ["the partitioning column"]
    column = "_PARTITIONTIME" if "_PARTITIONTIME" in columns else columns[0]
    return (
        f"Give --since, and --time-column {column}, so that only some partitions are read; in a query, a WHERE on"
        f" {column}"
    )


def _location(found: dict[str, str]) -> str:
    where = f"BigQuery looked in {found['place']}. " if found.get("place") else ""
    return (
        f"{where}All tables of a query must be in one location, the one in which it runs: bq show --format=prettyjson"
        " PROJECT:DATASET names a dataset's"
    )


class _Known(NamedTuple):
    """A kind of refusal. A sentence that its pattern matches as a whole holds no row's value.

    Attributes:
        code: BigQuery's word for it, where that says enough.
        cure: what to do, or a function that makes that of what the pattern has found.
    """

    pattern: re.Pattern[str]
    cure: Any
    code: str = ""


def _known(pattern: str, cure: Any, code: str = "") -> _Known:
    return _Known(re.compile(pattern, re.IGNORECASE), cure, code)


_NAME: Final = "Check its name, and that it was not deleted meanwhile"
_BY_STATUS: Final = {403: READING, 404: _NAME}
_LOOK: Final = "See the job in the console: BigQuery, Project history"
_KNOWN: Final = (
    _known(
        r"(?:request failed: )?(?:Query error: )?Cannot query over table '[^']+' without a filter over column\(s\)"
        r" (?P<columns>[\w', ]+) that can be used for partition elimination\.?(?: at \[\d+:\d+\])?",
        _filter,
    ),
    _known(
        r"Query exceeded limit for bytes billed: \d+\. \d+ or higher required\.?",
        "Read less (--since, --until), or allow more: --max-bytes-billed",
        "bytesBilledLimitExceeded",
    ),
    _known(
        r"(?:does not have|lacks|denied).{0,40}'?(?P<permission>(?:bigquery|serviceusage)\.[\w.]+)'?|"
        r"permission '?(?P<permission2>(?:bigquery|serviceusage)\.[\w.]+)'? (?:denied|is required)",
        lambda found: _role({"permission": found["permission"] or found["permission2"]}),
    ),
    _known(
        r"API has not been used in project|API .{0,60}is (?:not enabled|disabled)|it is disabled\.",
        "gcloud services enable bigquery.googleapis.com bigquerystorage.googleapis.com; it takes some minutes",
    ),
    _known(
        r"billing (?:account|has not|is not|must be)|enable billing",
        "Enable billing for the project, or name another that pays: --project",
        "billingNotEnabled",
    ),
    _known(
        r"fine-grained reader|policy tag|column-level",
        "A column is protected by a policy tag: the account needs roles/datacatalog.categoryFineGrainedReader on the"
        " tag, or select other columns in a query",
    ),
    _known(
        r"vpc service controls|organization's policy|vpcServiceControls",
        "A service perimeter keeps this machine out: run inside of it, or have its administrator let the account in",
    ),
    _known(
        r"drive credentials|google drive|spreadsheet",
        "The table is a file on Google Drive: copy it to a table of BigQuery, and read that",
    ),
    _known(r"was not found in location (?P<place>[\w-]+)", _location),
    _known(
        r"cannot (?:read|write|be read|query)[^.]*different location|different locations?"
        r"|(?:dataset|table)s? .{0,120}must be in the same location|location (?:mismatch|of the)",
        lambda _: _location({}),
    ),
    _known(
        r"custom quota|quota exceeded|exceeded quota|exceeded the custom quota|resource_exhausted|exceeded.{0,40}quota",
        "Wait until the quota is there again, or have it raised: IAM & Admin, Quotas",
        "quotaExceeded",
    ),
    _known(
        r"exceeded rate limits|rate limit|too many (?:requests|concurrent)",
        "Try again in some minutes, with fewer at once",
        "rateLimitExceeded",
    ),
    _known(
        r"resources exceeded during query execution|response too large",
        "Read less at once: a shorter --since and --until, or a table in place of the query",
        "resourcesExceeded",
    ),
    _known(
        r"access denied|permission.denied|does not have permission|does not have access|forbidden",
        READING,
        "accessDenied",
    ),
    _known(
        r"not found: (?:table|dataset|project)"
        r"|(?:table|dataset|project) .{0,200}(?:was not found|not found|does not exist)"
        r"|(?:was deleted|has been deleted|is gone)",
        _NAME,
        "notFound",
    ),
    _known(
        r"(?:invalid|expired|missing) (?:authentication )?credentials|could not be refreshed|reauthentication"
        r"|unauthenticated|invalid_grant",
        "Sign in again: gcloud auth application-default login",
    ),
    _known(
        r"session (?:expired|not found|has expired)|stream .{0,80}(?:expired|not found)",
        "A read session lasts six hours: read less at once, and run again with --resume",
    ),
    _known(
        r"storage format that is not supported|cannot read (?:an? )?(?:external|view)"
        r"|(?:external|view) tables?.{0,40}not supported",
        "Read it by a query: bigquery:SELECT …",
    ),
    _known(r"job (?:was )?(?:cancelled|canceled|stopped)|job execution was cancelled", _LOOK, "stopped"),
    _known(r"timed? ?out|deadline exceeded|backend error|internal error|unavailable|try again", "Try again later"),
)


# --- reasons whose form is not known -----------------------------------------------------------------------------


def masked(sentence: str) -> str:
    """The sentence as far as its words are those of databases and of grammar.

    >>> masked("Could not cast jane doe to INT64 in column 'x'")
    'Could not cast … to INT64 in column …'
    """
    kept = [word if _is_plain(word) else MASK for word in sentence.split()]
    joined: list[str] = []
    for word in kept:
        if word != MASK or joined[-1:] != [MASK]:
            joined.append(word)
    return " ".join(joined)


def _is_plain(word: str) -> bool:
    bare = word.strip(".,:;()[]")
    return not bare or bare.lower() in _WORDS


_WORDS: Final = frozenset(
    """
a about above access after all already allowed also an and another any are argument arguments array arrays as at
available avro bad base64 be because been before below between bigint bignumeric billed bool boolean both bounds but
by byte bytes call called can cannot cast casting changed character characters clause clustered code column columns
compute computed constraint contains conversion convert converted converting could count create created current data
database dataset date datetime day days decimal decode decoding decoded deleted denied depth did different digits
disabled divide division do does done double duplicate duplicates during each element elements empty encoding end
ended enough entry error errors evaluate evaluated evaluating every exceed exceeded exceeds execute executed
execution exist exists expected expects expired exponent expression external extra fail failed fails failure field
fields file files filter find finished first float float64 for form format formatted found from function functions
given greater group had has have having hour hours id if illegal in incompatible index input inputs insert inside
int int64 integer internal interval into invalid is it item its job join json key keys large larger last least left
length less level limit limits line list literal load loaded location long lookup malformed many matched matches
matching maximum may memory merge message minimum minute minutes mismatch missing month more most multiple must name
named names nan negative nested no non not null nulls number numbers numeric object of offset on one only open
operand operation operator or order other out output over overflow parameter parse parsed parser parsing part
partition partitioned partitions path permission point position positive precision prefix present problem process
processed processing produced project provided queries query quota range reached read reading received record
records reference referenced regular repeated request requested require required requires resource resources
response result results retry returned returns right root row rows run running safe same scalar scale scan schema
second seconds select selected sequence session set should shuffle sign signed size small smaller some source
specified sql start started statement stored stream string strings struct structure subquery such supported syntax
table tables target text than that the their then there this time timeout timestamp timezone to too total trailing
type types unable unbounded unexpected unicode union unknown unnest unrecognized unsigned unsupported until up
updated use used user using utf-8 utf8 valid value values varchar version via view views was were when where which
while width will window with within without wrong year years zero zone
""".split()
)
