# Plans and applies the module with providers that are not there: `tofu init && tofu test` (or terraform >= 1.7), no
# account, no network but for the provider plugins themselves.

mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      email  = "capybeam@acme-prod.iam.gserviceaccount.com"
      member = "serviceAccount:capybeam@acme-prod.iam.gserviceaccount.com"
    }
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
    condition     = google_dataflow_flex_template_job.this.on_delete == "drain" && google_dataflow_flex_template_job.this.max_workers == 5
    error_message = "The job is not drained, or has other than five workers."
  }
  assert {
    condition     = length(google_pubsub_subscription.events.dead_letter_policy) == 0 && google_pubsub_subscription.events.expiration_policy[0].ttl == ""
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
    condition = google_dataflow_flex_template_job.this.parameters == tomap({
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
    ) : account == "serviceAccount:${google_dataflow_flex_template_job.this.service_account_email}"])
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
    condition     = google_dataflow_flex_template_job.this.parameters["id_attribute"] == "message_id"
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
  }
  expect_failures = [
    var.project, var.region, var.name, var.topic, var.bucket, var.template, var.repository, var.location, var.dead_letter_days,
    var.receipt_days, var.machine_type, var.max_workers, var.id_attribute, var.subnetwork,
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
