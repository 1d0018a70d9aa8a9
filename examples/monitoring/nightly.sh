#!/bin/sh
# Delivers the exports of a day, yesterday's by default: for cron, systemd, or any scheduler that knows exit codes.
#
#   nightly.sh [YYYY-MM-DD]
#
# Runs in the folder that holds conversions.yaml and exports/. Ends with capybeam's exit code; 75 where another one runs.
set -u

day=${1:-$(date -u -d yesterday +%F)}
mkdir -p reports logs

exec 9> capybeam.lock
flock --nonblock --conflict-exit-code 75 9 || exit

capybeam run --config conversions.yaml --input "exports/$day*.jsonl.gz" \
    --dead-letters "dead-letters-$day.jsonl" --receipts "receipts-$day.jsonl" \
    --report "reports/$day.json" --tolerate 1% --log-format json 2>> "logs/$day.jsonl" 9>&-
code=$?

# An outage: its events are dead letters that a replay delivers, if there is one in time.
if [ "$code" -eq 5 ]; then
    sleep "${CAPYBEAM_REPLAY_AFTER:-3600}"
    capybeam replay --config conversions.yaml --from "dead-letters-$day.jsonl" --retryable \
        --dead-letters "dead-letters-$day-again.jsonl" --receipts "receipts-$day-again.jsonl" \
        --report "reports/$day-again.json" --log-format json 2>> "logs/$day.jsonl" 9>&-
    code=$?
fi

# For Prometheus: the folder of node_exporter's textfile collector, since a run that has ended serves no metrics.
if [ -n "${CAPYBEAM_TEXTFILES:-}" ]; then
    printf 'capybeam_last_exit_code %s\ncapybeam_last_end_time_seconds %s\n' "$code" "$(date +%s)" \
        > "$CAPYBEAM_TEXTFILES/capybeam.prom.new"
    mv "$CAPYBEAM_TEXTFILES/capybeam.prom.new" "$CAPYBEAM_TEXTFILES/capybeam.prom"
fi

exit "$code"
