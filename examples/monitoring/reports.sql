-- Runs of the last two days that want a look, and the last run where it is too long ago.
WITH reports AS (
  SELECT
    JSON_VALUE(report.job.file) AS job,
    TIMESTAMP(JSON_VALUE(report.started)) AS started,
    TIMESTAMP(JSON_VALUE(report.ended)) AS ended,
    JSON_VALUE(report.state) AS state,
    INT64(report.exit_code) AS exit_code,
    BOOL(report.balanced) AS balanced,
    INT64(report.matched) AS matched,
    INT64(report.delivered) AS delivered,
    INT64(report.retryable) AS retryable,
    JSON_VALUE(report.replay) AS replay
  FROM `acme-prod.capybeam.reports`
)
SELECT *, 'the run' AS what
FROM reports
WHERE started > TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 2 DAY)
  AND (exit_code > 1 OR NOT balanced)
UNION ALL
SELECT *, 'no run since' AS what
FROM reports
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY job ORDER BY ended DESC) = 1
  AND ended < TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 26 HOUR)
