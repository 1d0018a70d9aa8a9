"""Delivers the events of each day, and replays what an outage has left. For Airflow 3; copy it to the DAGs folder.

A worker needs capybeam on its PATH, META_ACCESS_TOKEN in its environment, conversions.yaml and exports/ in FOLDER.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

FOLDER = "/srv/capybeam"

with DAG(
    "capybeam",
    schedule="17 3 * * *",
    start_date=datetime(2026, 11, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,  # two runs at once would share the destination's rate limit
):
    # 0: all delivered, or no more than 1 % bad. Any other exit code fails the task. Running it again is safe for 48
    # hours, as Meta drops repeats by event_id.
    deliver = BashOperator(
        task_id="deliver",
        bash_command="""
            capybeam run --config conversions.yaml --input 'exports/{{ ds }}*.jsonl.gz' \
                --dead-letters dead-letters-{{ ds }}.jsonl --receipts receipts-{{ ds }}.jsonl \
                --report report-{{ ds }}.json --tolerate 1% --log-format json
        """,
        cwd=FOLDER,
        append_env=True,
        retries=1,
        retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(hours=6),
    )
    # 99 skips the task: the run failed for another reason than an outage (5) or a refusal (3), and wants a look.
    replay = BashOperator(
        task_id="replay",
        bash_command="""
            python3 -c 'import json; exit(json.load(open("report-{{ ds }}.json"))["exit_code"] not in (3, 5))' \
                || exit 99
            capybeam replay --config conversions.yaml --from dead-letters-{{ ds }}.jsonl --retryable \
                --dead-letters dead-letters-{{ ds }}-again.jsonl --receipts receipts-{{ ds }}-again.jsonl \
                --report report-{{ ds }}-again.json --log-format json
        """,
        cwd=FOLDER,
        append_env=True,
        trigger_rule="all_failed",
        retries=3,
        retry_delay=timedelta(hours=1),
    )
    deliver >> replay
