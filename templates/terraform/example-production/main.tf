# Streaming by day and a backfill at night, in a network without public addresses, encrypted with a key of yours.

locals {
  project  = "acme-prod"
  region   = "europe-west1"
  released = "gs://acme-capybeam/templates/20261101-120000"
}

provider "google" {
  project = local.project
  region  = local.region
}

provider "google-beta" {
  project = local.project
  region  = local.region
}

module "network" {
  source = "../network"

  project = local.project
  region  = local.region
}

module "capybeam" {
  source = "../"

  project  = local.project
  region   = local.region
  location = local.region # that of the key
  bucket   = "acme-capybeam"
  config   = "${path.module}/../example/conversions.yaml"
  secrets  = ["meta-access-token"]

  topic    = "projects/acme-prod/topics/events"
  template = "${local.released}/streaming.json"

  # What reaches the warehouse late, or never went through the topic. Meta drops what it has had within 48 hours by its event_id.
  nightly = {
    template   = "${local.released}/batch.json"
    input      = "bigquery:acme-prod.segment.order_completed"
    datasets   = ["acme-prod.segment"]
    time_zone  = "Europe/Berlin"
    parameters = { time_column = "loaded_at", max_bytes_billed = "50GB" }
  }

  subnetwork  = module.network.subnetwork
  private_ips = true
  kms_key     = "projects/acme-prod/locations/europe-west1/keyRings/capybeam/cryptoKeys/capybeam"
  labels      = { team = "growth", env = "prod" }
  launchers   = ["group:data-platform@example.com"]

  window_books          = true
  notification_channels = ["projects/acme-prod/notificationChannels/12345"]
  alert_dead_letters    = 50
}

output "capybeam" {
  description = "Where to look at the jobs."
  value       = module.capybeam
}
