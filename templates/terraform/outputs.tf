output "job_id" {
  description = "ID of the streaming job; null without one."
  value       = one(google_dataflow_flex_template_job.this[*].job_id)
}

output "job_url" {
  description = "The streaming job's page, with its counters; null without one."
  value       = one([for job in google_dataflow_flex_template_job.this : "https://console.cloud.google.com/dataflow/jobs/${var.region}/${job.job_id}?project=${var.project}"])
}

output "subscription" {
  description = "The subscription that the streaming job reads; null without one."
  value       = one(google_pubsub_subscription.events[*].id)
}

output "nightly" {
  description = "The Cloud Scheduler job that starts the batch template; null without one."
  value       = one(google_cloud_scheduler_job.nightly[*].name)
}

output "tables" {
  description = "The tables that jobs write."
  value       = { for name, table in google_bigquery_table.this : name => "${var.project}.${table.dataset_id}.${table.table_id}" }
}

output "service_account" {
  description = "The account that jobs run as."
  value       = google_service_account.job.email
}

output "launcher" {
  description = "The account that starts jobs."
  value       = google_service_account.launcher.email
}

output "dashboard" {
  description = "The dashboard; null where monitoring is off."
  value       = one(google_monitoring_dashboard.this[*].id)
}
