# All that a streaming job needs beside the topic, the bucket, the image and the secret, which exist before it does.

locals {
  labels = { application = "capybeam" }

  # The tables' columns are made from the code: `make templates`.
  all_tables = {
    dead_letters = { partition = "dead_lettered_at", days = var.dead_letter_days }
    receipts     = { partition = "delivered_at", days = var.receipt_days }
    window_books = { partition = "window_start_time", days = var.receipt_days }
  }
  tables = { for name, table in local.all_tables : name => table if name != "window_books" || var.window_books }
}

# --- events in

resource "google_pubsub_subscription" "events" {
  project = var.project
  name    = var.name
  topic   = var.topic
  labels  = local.labels

  # What comes while no job runs waits here: a week, the longest that Pub/Sub keeps it without asking for more.
  message_retention_duration = "604800s"
  ack_deadline_seconds       = 600

  expiration_policy {
    ttl = "" # never, however long nothing comes
  }

  # No dead-letter policy: a destination may refuse everything for days, and each time that its events are given back
  # would count as an attempt to deliver them. What cannot be delivered is in the table of dead letters.
}

# --- dead letters and receipts out

resource "google_bigquery_dataset" "this" {
  project     = var.project
  dataset_id  = replace(var.name, "-", "_")
  location    = var.location
  description = "capybeam: what Meta took, and what was not delivered. Dead letters hold personal data."
  labels      = local.labels
}

resource "google_bigquery_table" "this" {
  for_each = local.tables

  project    = var.project
  dataset_id = google_bigquery_dataset.this.dataset_id
  table_id   = each.key
  schema     = file("${path.module}/schemas/${each.key}.json")
  labels     = local.labels

  time_partitioning {
    type          = "DAY"
    field         = each.value.partition
    expiration_ms = each.value.days * 24 * 60 * 60 * 1000
  }

  # `terraform destroy` takes all else away, and ends with an error for each table: what was not delivered stays.
  deletion_protection = true
}

# --- the account of the job, and what it may do: docs/dataflow.md says why

resource "google_service_account" "job" {
  project      = var.project
  account_id   = var.name
  display_name = "capybeam"
}

resource "google_project_iam_member" "worker" {
  project = var.project
  role    = "roles/dataflow.worker"
  member  = google_service_account.job.member
}

# To update a job, its launcher looks the running one up by its name.
resource "google_project_iam_member" "viewer" {
  project = var.project
  role    = "roles/dataflow.viewer"
  member  = google_service_account.job.member
}

resource "google_pubsub_subscription_iam_member" "job" {
  for_each = toset(["roles/pubsub.subscriber", "roles/pubsub.viewer"])

  project      = var.project
  subscription = google_pubsub_subscription.events.name
  role         = each.value
  member       = google_service_account.job.member

  lifecycle {
    replace_triggered_by = [google_pubsub_subscription.events.id]
  }
}

resource "google_bigquery_dataset_iam_member" "job" {
  project    = var.project
  dataset_id = google_bigquery_dataset.this.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.job.member
}

resource "google_secret_manager_secret_iam_member" "job" {
  for_each = var.secrets

  project   = var.project
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.job.member
}

resource "google_storage_bucket_iam_member" "job" {
  bucket = var.bucket
  role   = "roles/storage.objectAdmin"
  member = google_service_account.job.member
}

resource "google_artifact_registry_repository_iam_member" "job" {
  project    = var.project
  location   = var.region
  repository = var.repository
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.job.member
}

# --- the job

resource "google_storage_bucket_object" "config" {
  bucket = var.bucket
  # A changed job file has another name, so that the job is updated with it.
  name         = "jobs/${var.name}/${filesha256(var.config)}.yaml"
  source       = var.config
  content_type = "application/yaml"

  lifecycle { # the file that the running job was started from goes once the job has been updated
    create_before_destroy = true
  }
}

resource "google_dataflow_flex_template_job" "this" {
  provider = google-beta

  project                 = var.project
  region                  = var.region
  name                    = var.name
  container_spec_gcs_path = var.template
  service_account_email   = google_service_account.job.email
  temp_location           = "gs://${var.bucket}/temp"
  staging_location        = "gs://${var.bucket}/staging"
  machine_type            = var.machine_type
  max_workers             = var.max_workers
  subnetwork              = var.subnetwork
  enable_streaming_engine = true
  on_delete               = "drain"
  labels                  = local.labels

  parameters = merge(
    {
      config       = "gs://${var.bucket}/${google_storage_bucket_object.config.name}"
      input        = "pubsub:${google_pubsub_subscription.events.id}"
      dead_letters = "bigquery:${var.project}.${google_bigquery_dataset.this.dataset_id}.${google_bigquery_table.this["dead_letters"].table_id}"
      receipts     = "bigquery:${var.project}.${google_bigquery_dataset.this.dataset_id}.${google_bigquery_table.this["receipts"].table_id}"
    },
    var.window_books ? { window_books = "bigquery:${var.project}.${google_bigquery_dataset.this.dataset_id}.${google_bigquery_table.this["window_books"].table_id}" } : {},
    var.id_attribute == "" ? {} : { id_attribute = var.id_attribute },
  )

  # A job that starts before its permissions are there fails.
  depends_on = [
    google_project_iam_member.worker,
    google_project_iam_member.viewer,
    google_pubsub_subscription_iam_member.job,
    google_bigquery_dataset_iam_member.job,
    google_secret_manager_secret_iam_member.job,
    google_storage_bucket_iam_member.job,
    google_artifact_registry_repository_iam_member.job,
  ]
}
