output "job_id" {
  description = "ID of the Dataflow job."
  value       = google_dataflow_flex_template_job.this.job_id
}

output "job_url" {
  description = "The job's page, with its counters."
  value       = "https://console.cloud.google.com/dataflow/jobs/${var.region}/${google_dataflow_flex_template_job.this.job_id}?project=${var.project}"
}

output "subscription" {
  description = "The subscription that the job reads."
  value       = google_pubsub_subscription.events.id
}

output "tables" {
  description = "The tables that the job writes."
  value       = { for name, table in google_bigquery_table.this : name => "${var.project}.${table.dataset_id}.${table.table_id}" }
}

output "service_account" {
  description = "The account that the job runs as."
  value       = google_service_account.job.email
}
