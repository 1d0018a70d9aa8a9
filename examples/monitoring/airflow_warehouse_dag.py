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
    # The watermark goes forward when a run has succeeded. A task that is tried again, after an outage for example,
    # begins where the last success has ended, and sends what the receipts of the failed one do not name. A night
    # without rows is exit code 0, too.
    BashOperator(
        task_id="deliver",
        bash_command="""
            capybeam run --config conversions.yaml --input bigquery:acme-prod.segment.order_completed \
                --since last,2d --time-column loaded_at --time-zone Europe/Berlin --max-bytes-billed 50GB \
                --dead-letters dead-letters.jsonl --receipts receipts.jsonl.gz \
                --report report.json --tolerate 1% --log-format json
        """,
        cwd=FOLDER,
        append_env=True,
        retries=3,
        retry_delay=timedelta(hours=1),
        execution_timeout=timedelta(hours=6),
    )
