# Three accounts, each with what it needs and no more; docs/security.md says why. Jobs run as `job`, which reads tokens and
# events. `launcher` starts jobs, and reads neither. `books` reads the table of counts alone.

resource "google_service_account" "job" {
  project      = var.project
  account_id   = var.name
  display_name = "capybeam: runs jobs"
}

resource "google_service_account" "launcher" {
  project      = var.project
  account_id   = "${var.name}-run"
  display_name = "capybeam: starts jobs"
}

# --- job

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
  for_each = toset(local.is_stream ? ["roles/pubsub.subscriber", "roles/pubsub.viewer"] : [])

  project      = var.project
  subscription = google_pubsub_subscription.events[0].name
  role         = each.value
  member       = google_service_account.job.member

  lifecycle {
    replace_triggered_by = [google_pubsub_subscription.events[0].id]
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

# --- job, for what it reads each night

resource "google_project_iam_member" "nightly" {
  for_each = toset(var.nightly == null ? [] : ["roles/bigquery.jobUser", "roles/bigquery.readSessionUser"])

  project = var.project
  role    = each.value
  member  = google_service_account.job.member
}

resource "google_bigquery_dataset_iam_member" "nightly" {
  for_each = try(var.nightly.datasets, toset([]))

  project    = split(".", each.value)[0]
  dataset_id = split(".", each.value)[1]
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.job.member
}

resource "google_storage_bucket_iam_member" "nightly" {
  for_each = try(var.nightly.buckets, toset([]))

  bucket = each.value
  role   = "roles/storage.objectViewer"
  member = google_service_account.job.member
}

# --- launcher

resource "google_project_iam_member" "launcher" {
  project = var.project
  role    = "roles/dataflow.developer"
  member  = google_service_account.launcher.member
}

resource "google_service_account_iam_member" "launcher" {
  service_account_id = google_service_account.job.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.launcher.member
}

# The templates alone: the bucket also has what jobs stage.
resource "google_storage_bucket_iam_member" "launcher" {
  bucket = var.bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.launcher.member

  condition {
    title      = "templates"
    expression = "resource.name.startsWith(\"projects/_/buckets/${var.bucket}/objects/templates/\")"
  }
}

# People and deployments that start jobs do so as the launcher: gcloud --impersonate-service-account.
resource "google_service_account_iam_member" "launchers" {
  for_each = var.launchers

  service_account_id = google_service_account.launcher.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value
}

# --- books: the hourly query of monitoring.tf

resource "google_service_account" "books" {
  count = local.checks_books ? 1 : 0

  project      = var.project
  account_id   = "${var.name}-sum"
  display_name = "capybeam: checks the books"
}

resource "google_project_iam_member" "books" {
  count = local.checks_books ? 1 : 0

  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.books[0].member
}

resource "google_bigquery_table_iam_member" "books" {
  count = local.checks_books ? 1 : 0

  project    = var.project
  dataset_id = google_bigquery_dataset.this.dataset_id
  table_id   = google_bigquery_table.this["window_books"].table_id
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.books[0].member
}

# --- Google's own accounts, where a key of yours encrypts

locals {
  keys = var.kms_key == null ? [] : [var.kms_key]
  agents = var.kms_key == null ? {} : {
    dataflow = "service-${data.google_project.this[0].number}@dataflow-service-producer-prod.iam.gserviceaccount.com"
    compute  = "service-${data.google_project.this[0].number}@compute-system.iam.gserviceaccount.com" # workers' disks
    bigquery = "bq-${data.google_project.this[0].number}@bigquery-encryption.iam.gserviceaccount.com"
  }
}

data "google_project" "this" {
  count = length(local.keys)

  project_id = var.project
}

resource "google_kms_crypto_key_iam_member" "agents" {
  for_each = local.agents

  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${each.value}"
}
