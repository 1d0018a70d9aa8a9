# What to be woken for, and a dashboard. The counters are those of docs/monitoring.md: Dataflow has them as user counters, which
# only grow. A counter is there from its first event on, so that growth is its value less that of an hour ago, or less 0.

locals {
  checks_books = var.window_books && !var.at_least_once # repeated rows would not balance

  job_names = "${var.name}(-nightly)?"
  counters  = "dataflow_googleapis_com:job_user_counter{monitored_resource=\"dataflow_job\",job_name=~\"${local.job_names}\",metric_name=~\"%s\"}"
  growth    = "sum by (job_name) (max_over_time(%[1]s[1h]) - (%[1]s offset 1h or 0 * max_over_time(%[1]s[1h]))) > %[2]d"

  undelivered  = format(local.counters, "rejected:.*:send:(destination_refused|gave_up_retrying)")
  dead_letters = format(local.counters, "rejected:.*")

  promql = {
    undelivered = {
      name  = "events were given up, or a destination refused them"
      query = format(local.growth, local.undelivered, 0)
      todo  = "The dead letters say why. Fix the cause, then replay them: docs/operations.md, Replay. Meta takes events for 7 days."
    }
    dead_letters = {
      name  = "more than ${var.alert_dead_letters} dead letters in an hour"
      query = format(local.growth, local.dead_letters, var.alert_dead_letters)
      todo  = "Group the table of dead letters by stage and code: docs/dataflow.md, Looking at the books. docs/operations.md has what to do about each code."
    }
  }

  thresholds = merge(
    local.is_stream ? {
      backlog = {
        name   = "the oldest message has waited for ${var.alert_lag_minutes} minutes"
        filter = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${var.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
        above  = var.alert_lag_minutes * 60
        for    = "300s"
        todo   = "The job stands still, or is too small: see its page, its workers' logs, and capybeam doctor. Messages wait for 7 days."
      }
      lag = {
        name   = "an event has been under way for ${var.alert_lag_minutes} minutes"
        filter = "resource.type = \"dataflow_job\" AND resource.labels.job_name = \"${var.name}\" AND metric.type = \"dataflow.googleapis.com/job/system_lag\""
        above  = var.alert_lag_minutes * 60
        for    = "300s"
        todo   = "A destination holds events, or a step fails again and again: see the workers' logs, and capybeam doctor."
      }
    } : {},
    {
      failed = {
        name   = "a job failed"
        filter = "resource.type = \"dataflow_job\" AND resource.labels.job_name = monitoring.regex.full_match(\"${local.job_names}\") AND metric.type = \"dataflow.googleapis.com/job/is_failed\""
        above  = 0
        for    = "0s"
        todo   = "The job's page has the reason in its logs: docs/dataflow.md, When it does not start."
      }
    },
    local.checks_books ? {
      unbalanced = {
        name   = "the books do not balance"
        filter = "resource.type = \"bigquery_dts_config\" AND resource.labels.config_id = \"${one([for id in google_bigquery_data_transfer_config.books[*].name : element(split("/", id), -1)])}\" AND metric.type = \"bigquerydatatransfer.googleapis.com/transfer_config/completed_runs\" AND metric.labels.completion_state = \"FAILED\""
        above  = 0
        for    = "0s"
        todo   = "The run history of the scheduled query names the windows, or why it could not ask: docs/operations.md, The books in windows."
      }
    } : {},
  )

  logs = merge(
    local.is_stream ? {
      refused = {
        name   = "a destination refuses everything"
        filter = "resource.type = \"dataflow_step\" AND resource.labels.job_name = \"${var.name}\" AND severity >= ERROR AND jsonPayload.message =~ \": HELD\\. \""
        todo   = "The log line says what to do, such as a new token. Nothing is lost: the job holds the events, and goes on by itself once the token is replaced."
      }
    } : {},
    var.nightly == null ? {} : {
      launch = {
        name   = "the nightly job was not started"
        filter = "resource.type = \"cloud_scheduler_job\" AND resource.labels.job_id = \"${var.name}-nightly\" AND severity >= ERROR"
        todo   = "The log line has Dataflow's answer; a job of that name that is still running is one reason. Start it again: gcloud scheduler jobs run ${var.name}-nightly --location=${var.region}."
      }
    },
  )
}

resource "google_monitoring_alert_policy" "growth" {
  for_each = var.monitoring ? local.promql : {}

  project               = var.project
  display_name          = "${var.name}: ${each.value.name}"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.name
    condition_prometheus_query_language {
      query                     = each.value.query
      evaluation_interval       = "60s"
      disable_metric_validation = true # there are no such counters before the first job has run
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = each.value.todo
  }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = var.monitoring ? local.thresholds : {}

  project               = var.project
  display_name          = "${var.name}: ${each.value.name}"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.name
    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = each.value.for

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = each.key == "unbalanced" ? "ALIGN_SUM" : "ALIGN_MAX"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = each.value.todo
  }
}

# Events that a stream holds are in no counter until they are through; the workers' logs say at once that a destination is held.
resource "google_monitoring_alert_policy" "log" {
  for_each = var.monitoring ? local.logs : {}

  project               = var.project
  display_name          = "${var.name}: ${each.value.name}"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.name
    condition_matched_log {
      filter = each.value.filter
    }
  }

  alert_strategy {
    auto_close = "3600s"
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = each.value.todo
  }
}

# The query fails where a window does not balance half an hour after its end, and an alert is about that.
resource "google_bigquery_data_transfer_config" "books" {
  count = local.checks_books && var.monitoring ? 1 : 0

  project              = var.project
  location             = var.location
  display_name         = "${var.name}: do the books balance?"
  data_source_id       = "scheduled_query"
  schedule             = "every 1 hours"
  service_account_name = google_service_account.books[0].email
  params               = { query = templatefile("${path.module}/unbalanced.sql", { table = "${var.project}.${google_bigquery_dataset.this.dataset_id}.${google_bigquery_table.this["window_books"].table_id}" }) }

  depends_on = [google_project_iam_member.books, google_bigquery_table_iam_member.books]
}

# --- the dashboard

locals {
  per_minute = "sum by (job_name%s) (delta(${local.counters}[5m])) / 5"

  charts = concat(
    [
      { title = "Delivered a minute", query = format(local.per_minute, ", metric_name", "delivered:.*") },
      { title = "Dead letters a minute, by stage and code", query = format(local.per_minute, ", metric_name", "rejected:.*") },
      { title = "Read and taken a minute", query = format(local.per_minute, ", metric_name", "read|taken|filtered|unparsable") },
      { title = "Requests a minute, with those tried again", query = format(local.per_minute, ", metric_name", "(requests|tries):.*") },
      { title = "Seconds a minute in which a rate limit held something up", query = format(local.per_minute, "", "throttled") },
      { title = "Workers' virtual CPUs", query = "sum by (job_name) (dataflow_googleapis_com:job_current_num_vcpus{monitored_resource=\"dataflow_job\",job_name=~\"${local.job_names}\"})" },
    ],
    local.is_stream ? [
      { title = "Age of the oldest message, seconds", query = "max(pubsub_googleapis_com:subscription_oldest_unacked_message_age{monitored_resource=\"pubsub_subscription\",subscription_id=\"${var.name}\"})" },
      { title = "Messages that wait", query = "sum(pubsub_googleapis_com:subscription_num_undelivered_messages{monitored_resource=\"pubsub_subscription\",subscription_id=\"${var.name}\"})" },
    ] : [],
  )
}

resource "google_monitoring_dashboard" "this" {
  count = var.monitoring ? 1 : 0

  project = var.project
  dashboard_json = jsonencode({
    displayName = var.name
    labels      = local.labels
    mosaicLayout = {
      columns = 12
      # Without zeros, which Google leaves out of what it gives back: each apply would find a difference.
      tiles = [for number, chart in local.charts : merge(
        { for side, place in { xPos = number % 2 * 6, yPos = floor(number / 2) * 4 } : side => place if place > 0 },
        {
          width  = 6
          height = 4
          widget = {
            title   = chart.title
            xyChart = { dataSets = [{ plotType = "LINE", timeSeriesQuery = { prometheusQuery = chart.query } }] }
          }
        },
      )]
    }
  })
}
