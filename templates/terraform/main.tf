# Streaming and nightly jobs, and all that they need beside the topic, the bucket, the image, the secret and the key, which
# exist before they do. accounts.tf says who may do what, monitoring.tf what to be woken for, network/ is a network for them.

locals {
  labels    = merge({ application = "capybeam" }, var.labels)
  is_stream = var.topic != null

  # The tables' columns are made from the code: `make templates`.
  all_tables = {
    dead_letters = { partition = "dead_lettered_at", days = var.dead_letter_days }
    receipts     = { partition = "delivered_at", days = var.receipt_days }
    window_books = { partition = "window_start_time", days = var.receipt_days }
  }
  tables = { for name, table in local.all_tables : name => table if name != "window_books" || var.window_books }

  # What both kinds of jobs are given.
  parameters = merge(
    { config = "gs://${var.bucket}/${google_storage_bucket_object.config.name}" },
    { for name, table in google_bigquery_table.this : name => "bigquery:${var.project}.${table.dataset_id}.${table.table_id}" },
  )
}

# --- events in

resource "google_pubsub_subscription" "events" {
  count = local.is_stream ? 1 : 0

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

  # No dead_letter_policy: it counts each time that an event is given back as a failed attempt, and Dataflow gives events
  # back whenever a destination refuses everything. After max_delivery_attempts, minutes later, events that only wait for
  # a new token would be in a topic that nobody reads, and in no table. What cannot be delivered is in dead_letters.
}

# --- dead letters and receipts out

resource "google_bigquery_dataset" "this" {
  project     = var.project
  dataset_id  = replace(var.name, "-", "_")
  location    = var.location
  description = "capybeam: what Meta took, and what was not delivered. Dead letters hold personal data."
  labels      = local.labels

  dynamic "default_encryption_configuration" {
    for_each = local.keys
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  lifecycle {
    precondition {
      condition     = local.is_stream || var.nightly != null
      error_message = "Nothing would run: set topic and template for a streaming job, or nightly for a scheduled one."
    }
    precondition {
      condition     = var.kms_key == null || can(regex("/locations/${var.region}/", var.kms_key)) && var.location == var.region
      error_message = "A kms_key encrypts the job and the dataset, and has to be in their location: set region and location to the key's region."
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agents]
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

  dynamic "encryption_configuration" {
    for_each = local.keys
    content {
      kms_key_name = encryption_configuration.value
    }
  }

  # `terraform destroy` takes all else away, and ends with an error for each table: what was not delivered stays.
  deletion_protection = true
}

# --- the jobs

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
  count    = local.is_stream ? 1 : 0

  project                 = var.project
  region                  = var.region
  name                    = var.name
  container_spec_gcs_path = var.template
  service_account_email   = google_service_account.job.email
  temp_location           = "gs://${var.bucket}/temp"
  staging_location        = "gs://${var.bucket}/staging"
  machine_type            = var.machine_type
  max_workers             = var.max_workers
  network                 = var.network
  subnetwork              = var.subnetwork
  ip_configuration        = var.private_ips ? "WORKER_IP_PRIVATE" : null
  kms_key_name            = var.kms_key
  enable_streaming_engine = true
  additional_experiments  = var.at_least_once ? ["streaming_mode_at_least_once"] : null
  on_delete               = "drain"
  labels                  = local.labels

  parameters = merge(
    local.parameters,
    { input = "pubsub:${google_pubsub_subscription.events[0].id}" },
    var.id_attribute == "" ? {} : { id_attribute = var.id_attribute },
  )

  lifecycle {
    precondition {
      condition     = var.template != null
      error_message = "A streaming job needs template, as `make publish` prints it: gs://BUCKET/templates/VERSION/streaming.json."
    }
    precondition {
      condition     = !(var.at_least_once && var.id_attribute != "")
      error_message = "Dataflow drops repeats by id_attribute only in exactly-once mode: set one of at_least_once and id_attribute."
    }
    precondition {
      condition     = local.subnetwork_is_here
      error_message = "The subnetwork is in another region than the job."
    }
  }

  # A job that starts before its permissions are there fails.
  depends_on = [
    google_project_iam_member.worker,
    google_project_iam_member.viewer,
    google_pubsub_subscription_iam_member.job,
    google_bigquery_dataset_iam_member.job,
    google_secret_manager_secret_iam_member.job,
    google_storage_bucket_iam_member.job,
    google_artifact_registry_repository_iam_member.job,
    google_kms_crypto_key_iam_member.agents,
  ]
}

locals {
  subnetwork_is_here = var.subnetwork == null || can(regex("(^|/)regions/${var.region}/", var.subnetwork))
}

# Each night the batch template is started by a request of Cloud Scheduler's. The job's name is always the same, so that a
# night that takes longer than a day is not joined by the next: Dataflow refuses a second running job of that name.
resource "google_cloud_scheduler_job" "nightly" {
  count = var.nightly == null ? 0 : 1

  project          = var.project
  region           = var.region
  name             = "${var.name}-nightly"
  description      = "Starts capybeam's batch template."
  schedule         = var.nightly.schedule
  time_zone        = var.nightly.time_zone
  paused           = var.nightly.paused
  attempt_deadline = "180s"

  retry_config {
    retry_count          = 3
    min_backoff_duration = "60s"
  }

  http_target {
    http_method = "POST"
    uri         = "https://dataflow.googleapis.com/v1b3/projects/${var.project}/locations/${var.region}/flexTemplates:launch"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(jsonencode({ launchParameter = local.launch }))

    oauth_token {
      service_account_email = google_service_account.launcher.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  lifecycle {
    precondition {
      condition     = local.subnetwork_is_here
      error_message = "The subnetwork is in another region than the job."
    }
    precondition {
      condition     = startswith(var.nightly.template, "gs://${var.bucket}/templates/")
      error_message = "The launcher may read the bucket's folder templates/ alone, where `make publish` puts templates: publish the nightly one to that bucket."
    }
  }

  depends_on = [
    google_project_iam_member.worker,
    google_project_iam_member.nightly,
    google_project_iam_member.launcher,
    google_service_account_iam_member.launcher,
    google_storage_bucket_iam_member.launcher,
    google_bigquery_dataset_iam_member.nightly,
    google_storage_bucket_iam_member.nightly,
    google_secret_manager_secret_iam_member.job,
    google_artifact_registry_repository_iam_member.job,
    google_kms_crypto_key_iam_member.agents,
  ]
}

locals {
  # Of a table; a query has its own WHERE, and files have none. Words such as yesterday mean what they do when the job is launched.
  days = can(regex("^bigquery:\\S+$", try(var.nightly.input, ""))) ? { since = "yesterday", until = "today", time_zone = var.nightly.time_zone } : {}

  launch = var.nightly == null ? null : {
    jobName              = "${var.name}-nightly"
    containerSpecGcsPath = var.nightly.template
    parameters           = { for name, value in merge(local.parameters, local.days, { input = var.nightly.input }, var.nightly.parameters) : name => value if value != null }
    environment = { for name, value in {
      serviceAccountEmail  = google_service_account.job.email
      tempLocation         = "gs://${var.bucket}/temp"
      stagingLocation      = "gs://${var.bucket}/staging"
      machineType          = var.machine_type
      maxWorkers           = var.nightly.max_workers
      network              = var.network
      subnetwork           = var.subnetwork
      ipConfiguration      = var.private_ips ? "WORKER_IP_PRIVATE" : null
      kmsKeyName           = var.kms_key
      additionalUserLabels = local.labels
    } : name => value if value != null }
  }
}
