# Plans and applies the module with providers that are not there: `tofu init && tofu test` (or terraform >= 1.7), no
# account, no network but for the provider plugins themselves.

mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      email  = "capybeam@acme-prod.iam.gserviceaccount.com"
      member = "serviceAccount:capybeam@acme-prod.iam.gserviceaccount.com"
    }
  }
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  mock_resource "google_bigquery_data_transfer_config" {
    defaults = { name = "projects/123456789012/locations/eu/transferConfigs/64e0-unbalanced" }
  }
  mock_resource "google_pubsub_subscription" {
    defaults = { id = "projects/acme-prod/subscriptions/capybeam" }
  }
}

mock_provider "google-beta" {
  mock_resource "google_dataflow_flex_template_job" {
    defaults = { job_id = "2026-11-01_00_00_00-1234567890123456789" }
  }
}

variables {
  project  = "acme-prod"
  region   = "europe-west1"
  topic    = "projects/acme-prod/topics/events"
  bucket   = "acme-capybeam"
  config   = "example/conversions.yaml"
  secrets  = ["meta-access-token"]
  template = "gs://acme-capybeam/templates/20261101-120000/streaming.json"
}

run "plan" {
  command = plan

  assert {
    condition     = google_dataflow_flex_template_job.this[0].on_delete == "drain" && google_dataflow_flex_template_job.this[0].max_workers == 5
    error_message = "The job is not drained, or has other than five workers."
  }
  assert {
    condition     = length(google_pubsub_subscription.events[0].dead_letter_policy) == 0 && google_pubsub_subscription.events[0].expiration_policy[0].ttl == ""
    error_message = "The subscription expires, or moves messages away that wait."
  }
  assert {
    condition = { for name, table in google_bigquery_table.this : name => [table.time_partitioning[0].field, table.time_partitioning[0].expiration_ms] } == {
      dead_letters = ["dead_lettered_at", 30 * 86400000]
      receipts     = ["delivered_at", 400 * 86400000]
    }
    error_message = "A table is partitioned, or expires, otherwise."
  }
  assert {
    condition     = alltrue([for table in google_bigquery_table.this : length(jsondecode(table.schema)) > 5])
    error_message = "A table has no columns."
  }
}

run "apply" {
  assert {
    condition = google_dataflow_flex_template_job.this[0].parameters == tomap({
      config       = "gs://acme-capybeam/jobs/capybeam/${filesha256("example/conversions.yaml")}.yaml"
      input        = "pubsub:projects/acme-prod/subscriptions/capybeam"
      dead_letters = "bigquery:acme-prod.capybeam.dead_letters"
      receipts     = "bigquery:acme-prod.capybeam.receipts"
    })
    error_message = "The job is given other parameters."
  }
  assert {
    condition = alltrue([for account in concat(
      [google_project_iam_member.worker.member, google_project_iam_member.viewer.member, google_bigquery_dataset_iam_member.job.member, google_storage_bucket_iam_member.job.member, google_artifact_registry_repository_iam_member.job.member],
      values(google_pubsub_subscription_iam_member.job)[*].member, values(google_secret_manager_secret_iam_member.job)[*].member,
    ) : account == "serviceAccount:${google_dataflow_flex_template_job.this[0].service_account_email}"])
    error_message = "Another account than the job's is given something."
  }
  assert {
    condition     = output.tables == { dead_letters = "acme-prod.capybeam.dead_letters", receipts = "acme-prod.capybeam.receipts" }
    error_message = "The tables are others."
  }
  assert {
    condition     = strcontains(output.job_url, "/europe-west1/2026-11-01_00_00_00-1234567890123456789?project=acme-prod")
    error_message = "The link leads elsewhere."
  }
}

run "other_names" {
  command = plan
  variables {
    name         = "shop-events"
    id_attribute = "message_id"
    subnetwork   = "regions/europe-west1/subnetworks/workers"
    location     = "europe-west1"
    secrets      = ["one", "two"]
  }
  assert {
    condition     = google_bigquery_dataset.this.dataset_id == "shop_events" && google_service_account.job.account_id == "shop-events"
    error_message = "Something is not called after the job."
  }
  assert {
    condition     = length(google_secret_manager_secret_iam_member.job) == 2
    error_message = "A secret is left out."
  }
}

run "id_attribute_is_given" {
  variables {
    id_attribute = "message_id"
  }
  assert {
    condition     = google_dataflow_flex_template_job.this[0].parameters["id_attribute"] == "message_id"
    error_message = "id_attribute is not given."
  }
}

run "a_pasted_token_is_no_secret" {
  command = plan
  variables {
    secrets = ["EAAnotarealtoken0000000000000000000000000000000000000000000000000000000000000000000"]
  }
  expect_failures = [var.secrets]
}

run "a_secrets_full_name_is_not_its_name" {
  command = plan
  variables {
    secrets = ["projects/acme-prod/secrets/meta-access-token"]
  }
  expect_failures = [var.secrets]
}

run "no_secrets" {
  command = plan
  variables {
    secrets = []
  }
  expect_failures = [var.secrets]
}

run "a_token_in_the_job_file" {
  command = plan
  variables {
    config = "tests/pasted.yaml"
  }
  expect_failures = [var.config]
}

run "no_such_job_file" {
  command = plan
  variables {
    config = "tests/nowhere.yaml"
  }
  expect_failures = [var.config]
}

run "everything_else_wrong" {
  command = plan
  variables {
    project          = "123456789012"
    region           = "europe-west1-b"
    name             = "Capybeam"
    topic            = "events"
    bucket           = "gs://acme-capybeam"
    template         = "gs://acme-capybeam/templates/20261101-120000/"
    repository       = "europe-west1-docker.pkg.dev/acme-prod/capybeam"
    location         = "eu"
    dead_letter_days = 0
    receipt_days     = 1.5
    machine_type     = "e2-medium"
    max_workers      = 0
    id_attribute     = "message id"
    subnetwork       = "workers"
    network          = "Workers"
    kms_key          = "capybeam"
    labels           = { application = "shop" }
    launchers        = ["data@example.com"]

    notification_channels = ["ops@example.com"]
    alert_dead_letters    = -1
    alert_lag_minutes     = 0.5
    nightly = {
      template    = "gs://acme-capybeam/templates/20261101-120000/streaming.json"
      input       = "acme-prod.segment.tracks"
      datasets    = ["segment"]
      buckets     = ["gs://acme-events"]
      parameters  = { input = "gs://acme-events/*" }
      schedule    = "daily"
      time_zone   = "Europe/New York"
      max_workers = 0
    }
  }
  expect_failures = [
    var.project, var.region, var.name, var.topic, var.bucket, var.template, var.repository, var.location, var.dead_letter_days,
    var.receipt_days, var.machine_type, var.max_workers, var.id_attribute, var.subnetwork, var.network, var.kms_key, var.labels,
    var.launchers, var.notification_channels, var.alert_dead_letters, var.alert_lag_minutes, var.nightly,
  ]
}

run "wrong_in_ways_that_google_would_find" {
  command = plan
  variables {
    name        = "goog-shop"
    max_workers = 2.5
    subnetwork  = "xregions/europe-west1/subnetworks/workers"
  }
  expect_failures = [var.name, var.max_workers, var.subnetwork]
}

run "private_and_encrypted" {
  variables {
    network       = "capybeam"
    subnetwork    = "regions/europe-west1/subnetworks/workers"
    private_ips   = true
    kms_key       = "projects/acme-prod/locations/europe-west1/keyRings/capybeam/cryptoKeys/capybeam"
    location      = "europe-west1"
    at_least_once = true
    labels        = { team = "growth" }
  }
  assert {
    condition     = google_dataflow_flex_template_job.this[0].ip_configuration == "WORKER_IP_PRIVATE" && google_dataflow_flex_template_job.this[0].network == "capybeam" && google_dataflow_flex_template_job.this[0].subnetwork == "regions/europe-west1/subnetworks/workers"
    error_message = "Workers have public addresses, or are elsewhere."
  }
  assert {
    condition     = google_dataflow_flex_template_job.this[0].additional_experiments == toset(["streaming_mode_at_least_once"])
    error_message = "The job is in exactly-once mode."
  }
  assert {
    condition = toset(concat(
      [google_dataflow_flex_template_job.this[0].kms_key_name, google_bigquery_dataset.this.default_encryption_configuration[0].kms_key_name],
      [for table in google_bigquery_table.this : table.encryption_configuration[0].kms_key_name],
    )) == toset([var.kms_key])
    error_message = "Something is encrypted with another key."
  }
  assert {
    condition = toset([for grant in google_kms_crypto_key_iam_member.agents : grant.member]) == toset([
      "serviceAccount:service-123456789012@dataflow-service-producer-prod.iam.gserviceaccount.com",
      "serviceAccount:service-123456789012@compute-system.iam.gserviceaccount.com",
      "serviceAccount:bq-123456789012@bigquery-encryption.iam.gserviceaccount.com",
    ])
    error_message = "Not all of Google's accounts that encrypt may use the key."
  }
  assert {
    condition = alltrue([for labels in [
      google_dataflow_flex_template_job.this[0].labels, google_bigquery_dataset.this.labels, google_pubsub_subscription.events[0].labels,
      google_bigquery_table.this["receipts"].labels, google_monitoring_alert_policy.threshold["lag"].user_labels,
    ] : labels == tomap({ application = "capybeam", team = "growth" })])
    error_message = "Something has other labels."
  }
}

run "nightly_alone" {
  variables {
    topic        = null
    template     = null
    window_books = true
    launchers    = ["group:data@example.com"]
    nightly = {
      template   = "gs://acme-capybeam/templates/20261101-120000/batch.json"
      input      = "bigquery:acme-prod.segment.tracks"
      datasets   = ["acme-prod.segment"]
      parameters = { time_column = "loaded_at" }
    }
  }
  assert {
    condition     = length(google_dataflow_flex_template_job.this) == 0 && length(google_pubsub_subscription.events) == 0 && output.job_url == null
    error_message = "There is a streaming job."
  }
  assert {
    condition = jsondecode(base64decode(google_cloud_scheduler_job.nightly[0].http_target[0].body)) == {
      launchParameter = {
        jobName              = "capybeam-nightly"
        containerSpecGcsPath = "gs://acme-capybeam/templates/20261101-120000/batch.json"
        parameters = {
          config       = "gs://acme-capybeam/jobs/capybeam/${filesha256("example/conversions.yaml")}.yaml"
          input        = "bigquery:acme-prod.segment.tracks"
          dead_letters = "bigquery:acme-prod.capybeam.dead_letters"
          receipts     = "bigquery:acme-prod.capybeam.receipts"
          window_books = "bigquery:acme-prod.capybeam.window_books"
          since        = "yesterday"
          until        = "today"
          time_zone    = "Etc/UTC"
          time_column  = "loaded_at"
        }
        environment = {
          serviceAccountEmail  = google_service_account.job.email
          tempLocation         = "gs://acme-capybeam/temp"
          stagingLocation      = "gs://acme-capybeam/staging"
          machineType          = "n2-standard-2"
          maxWorkers           = 5
          additionalUserLabels = { application = "capybeam" }
        }
      }
    }
    error_message = "Dataflow is asked for something else."
  }
  assert {
    condition     = google_cloud_scheduler_job.nightly[0].http_target[0].uri == "https://dataflow.googleapis.com/v1b3/projects/acme-prod/locations/europe-west1/flexTemplates:launch" && google_cloud_scheduler_job.nightly[0].schedule == "17 3 * * *"
    error_message = "Something else is asked, or at another time."
  }
  assert {
    condition     = google_bigquery_dataset_iam_member.nightly["acme-prod.segment"].dataset_id == "segment" && google_service_account_iam_member.launchers["group:data@example.com"].role == "roles/iam.serviceAccountTokenCreator"
    error_message = "Somebody may not do what they have to."
  }
  assert {
    condition     = toset(keys(google_monitoring_alert_policy.threshold)) == toset(["failed", "unbalanced"]) && toset(keys(google_monitoring_alert_policy.log)) == toset(["launch"])
    error_message = "There are alerts for a stream, or none for the night."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["unbalanced"].conditions[0].condition_threshold[0].filter, "config_id = \"64e0-unbalanced\"")
    error_message = "The alert is about other scheduled queries."
  }
}

run "nightly_from_files" {
  command = plan
  variables {
    nightly = {
      template = "gs://acme-capybeam/templates/20261101-120000/batch.json"
      input    = "gs://acme-events/latest/*.jsonl.gz"
      buckets  = ["acme-events"]
    }
  }
  assert {
    condition     = length(local.days) == 0 && google_storage_bucket_iam_member.nightly["acme-events"].role == "roles/storage.objectViewer"
    error_message = "Files are read by days, or may not be read."
  }
}

run "the_last_success_is_not_known_to_a_launcher" {
  command = plan
  variables {
    nightly = {
      template   = "gs://acme-capybeam/templates/20261101-120000/batch.json"
      input      = "bigquery:acme-prod.segment.tracks"
      parameters = { since = "last,2d" }
    }
  }
  expect_failures = [var.nightly]
}

run "a_template_that_the_launcher_may_not_read" {
  command = plan
  variables {
    nightly = {
      template = "gs://acme-templates/templates/20261101-120000/batch.json"
      input    = "bigquery:acme-prod.segment.tracks"
    }
  }
  expect_failures = [google_cloud_scheduler_job.nightly]
}

run "without_monitoring" {
  command = plan
  variables {
    monitoring = false
  }
  assert {
    condition     = length(google_monitoring_dashboard.this) + length(google_monitoring_alert_policy.growth) + length(google_monitoring_alert_policy.threshold) + length(google_monitoring_alert_policy.log) == 0
    error_message = "There is monitoring."
  }
}

run "alerts_and_dashboard" {
  command = plan
  variables {
    window_books          = true
    notification_channels = ["projects/acme-prod/notificationChannels/1"]
    alert_dead_letters    = 5
    alert_lag_minutes     = 30
  }
  assert {
    condition = toset(concat(keys(google_monitoring_alert_policy.growth), keys(google_monitoring_alert_policy.threshold), keys(google_monitoring_alert_policy.log))) == toset([
      "undelivered", "dead_letters", "backlog", "lag", "failed", "unbalanced", "refused",
    ])
    error_message = "There are other alerts."
  }
  assert {
    condition     = google_monitoring_alert_policy.threshold["backlog"].conditions[0].condition_threshold[0].threshold_value == 1800 && endswith(google_monitoring_alert_policy.growth["dead_letters"].conditions[0].condition_prometheus_query_language[0].query, "> 5")
    error_message = "An alert has another threshold."
  }
  assert {
    condition     = alltrue([for tile in jsondecode(google_monitoring_dashboard.this[0].dashboard_json).mosaicLayout.tiles : lookup(tile, "xPos", 1) > 0 && lookup(tile, "yPos", 1) > 0 && lookup(tile, "xPos", 0) + tile.width <= 12])
    error_message = "The dashboard is too wide, or has zeros."
  }
}

run "nothing_to_run" {
  command = plan
  variables {
    topic = null
  }
  expect_failures = [google_bigquery_dataset.this]
}

run "a_stream_without_its_template" {
  command = plan
  variables {
    template = null
  }
  expect_failures = [google_dataflow_flex_template_job.this]
}

run "a_key_elsewhere" {
  command = plan
  variables {
    kms_key = "projects/acme-prod/locations/europe-west1/keyRings/capybeam/cryptoKeys/capybeam"
  }
  expect_failures = [google_bigquery_dataset.this]
}

run "a_subnetwork_elsewhere" {
  command = plan
  variables {
    subnetwork = "regions/us-central1/subnetworks/workers"
  }
  expect_failures = [google_dataflow_flex_template_job.this]
}

run "repeats_that_are_dropped_and_are_not" {
  command = plan
  variables {
    at_least_once = true
    id_attribute  = "message_id"
  }
  expect_failures = [google_dataflow_flex_template_job.this]
}
