-- Fails, with the windows in its message, where a window of the last day does not balance: docs/operations.md.
SELECT IF(
  COUNT(*) = 0,
  'The books balance.',
  ERROR(CONCAT(CAST(COUNT(*) AS STRING), ' windows do not balance, the first at ', CAST(MIN(window_start_time) AS STRING), '.'))
) AS books
FROM (
  SELECT
    window_start_time,
    SUM(read) + SUM(matched) AS came,
    SUM(taken) + SUM(filtered) + SUM(delivered) + SUM(skipped) + SUM(dead_lettered) AS went
  FROM `${table}`
  WHERE window_start_time >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)
  GROUP BY window_start_time, destination, subscription
  HAVING came != went
    AND window_start_time < TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1800 + MAX(window_seconds) SECOND)
)
