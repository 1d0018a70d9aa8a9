# An example of use: docs/dataflow.md goes through it. Put your own names in, then: terraform init && terraform apply

provider "google" {
  project = "acme-prod"
  region  = "europe-west1"
}

provider "google-beta" {
  project = "acme-prod"
  region  = "europe-west1"
}

module "capybeam" {
  source = "../" # or a checkout's templates/terraform

  project  = "acme-prod"
  region   = "europe-west1"
  topic    = "projects/acme-prod/topics/events"
  bucket   = "acme-capybeam"
  config   = "${path.module}/conversions.yaml"
  secrets  = ["meta-access-token"]
  template = "gs://acme-capybeam/templates/20261101-120000/streaming.json"

  window_books          = true                                              # so that there is an alert where the books do not balance
  notification_channels = ["projects/acme-prod/notificationChannels/12345"] # `gcloud beta monitoring channels list` has them
}

output "capybeam" {
  description = "Where to look at the job."
  value       = module.capybeam
}
