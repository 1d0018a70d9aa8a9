"""Delivers what has landed in a table of BigQuery since the last run, each night. For Airflow 3: copy it to the DAGs.

A worker needs capybeam[gcp] on its PATH, Google Cloud credentials, META_ACCESS_TOKEN in its environment, and
conversions.yaml in FOLDER, where the receipts and their watermark stay from night to night.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

FOLDER = "/srv/capybeam"

with DAG(
    "capybeam_warehouse",
    schedule="17 3 * * *",
    start_date=datetime(2026, 11, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    catchup=False,  # a night that was missed is read by the next one
    max_active_runs=1,
):
    # The watermark goes forward when a run has succeeded. A task that is tried again reads from where the last one did
    # that succeeded, and does not send again what the receipts of the failed one name. A night without rows is 0, too.
    deliver = BashOperator(
        task_id="deliver",
        bash_command="""
            capybeam run --config conversions.yaml --input bigquery:acme-prod.segment.order_completed \
                --since last,2d --time-column loaded_at --time-zone Europe/Berlin --max-bytes-billed 50GB \
                --dead-letters dead-letters.jsonl --receipts receipts.jsonl.gz \
                --report report.json --tolerate 1% --log-format json
        """,
        cwd=FOLDER,
        append_env=True,
        retries=2,
        retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(hours=6),
    )
    # 99 skips the task: the run failed for another reason than an outage (5) or a refusal (3), and wants a look.
    replay = BashOperator(
        task_id="replay",
        bash_command="""
            python3 -c 'import json; exit(json.load(open("report.json"))["exit_code"] not in (3, 5))' || exit 99
            capybeam replay --config conversions.yaml --from dead-letters.jsonl --retryable \
                --dead-letters dead-letters-again.jsonl --receipts receipts-again.jsonl.gz \
                --report report-again.json --log-format json
        """,
        cwd=FOLDER,
        append_env=True,
        trigger_rule="all_failed",
        retries=3,
        retry_delay=timedelta(hours=1),
    )
    deliver >> replay
