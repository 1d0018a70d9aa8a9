variable "project" {
  description = "ID of the Google Cloud project that everything is in."
  type        = string

  validation {
    condition     = can(regex("^([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project's ID has 6 to 30 lowercase letters, digits and dashes, such as acme-prod; it is not the project's number or name."
  }
}

variable "region" {
  description = "Region of the job, such as europe-west1; the bucket and the dataset had better be there, too."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region looks like europe-west1; a zone such as europe-west1-b is none."
  }
}

variable "name" {
  description = "What the job is called; subscription, dataset and service accounts are named after it."
  type        = string
  default     = "capybeam"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,24}[a-z0-9]$", var.name)) && !can(regex("^goog", var.name))
    error_message = "The name has 6 to 26 lowercase letters, digits and dashes, and begins with a letter, not with goog: service accounts and a subscription are named after it."
  }
}

variable "topic" {
  description = "The topic that events are published to: projects/P/topics/T. It has to exist. Without it there is no streaming job."
  type        = string
  default     = null

  validation {
    condition     = var.topic == null || can(regex("^projects/[^/]+/topics/[^/]+$", var.topic))
    error_message = "Write the topic like projects/acme-prod/topics/events."
  }
}

variable "bucket" {
  description = "The bucket, without gs://, that holds the templates, the job file and what Dataflow stages. It has to exist."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.bucket))
    error_message = "Write the bucket's name alone, such as acme-capybeam, without gs://."
  }
}

variable "config" {
  description = "Path of the job file on this machine; it is uploaded to the bucket."
  type        = string

  validation {
    condition     = can(file(var.config)) && !can(regex("EAA[A-Za-z0-9]{20}", file(var.config)))
    error_message = "The job file has to exist and to hold no access token: write secret:projects/P/secrets/S/versions/latest in its place."
  }
}

variable "secrets" {
  description = "Names of the secrets that the job file refers to, as in secret:projects/P/secrets/NAME/versions/latest. They have to exist."
  type        = set(string)

  validation {
    condition     = length(var.secrets) > 0 && alltrue([for secret in var.secrets : can(regex("^[A-Za-z0-9_-]{1,64}$", secret))])
    error_message = "Give each secret's name alone, of at most 64 letters, digits, dashes and underscores, never the token."
  }
}

variable "template" {
  description = "The streaming template's file, as `make publish` says it: gs://BUCKET/templates/VERSION/streaming.json."
  type        = string
  default     = null

  validation {
    condition     = var.template == null || can(regex("^gs://.+/streaming\\.json$", var.template))
    error_message = "Write the template like gs://acme-capybeam/templates/20261101-120000/streaming.json."
  }
}

variable "repository" {
  description = "Name of the Artifact Registry repository, in the same region, that the image is in."
  type        = string
  default     = "capybeam"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,61}[a-z0-9]$", var.repository))
    error_message = "Write the repository's name alone, such as capybeam."
  }
}

variable "location" {
  description = "Location of the BigQuery dataset: a region, EU or US."
  type        = string
  default     = "EU"

  validation {
    condition     = can(regex("^(EU|US|[a-z]+-[a-z]+[0-9]+)$", var.location))
    error_message = "The location is EU, US or a region such as europe-west1."
  }
}

variable "dead_letter_days" {
  description = "Days that dead letters are kept: they hold personal data. Past 7 days Meta takes only few of them."
  type        = number
  default     = 30

  validation {
    condition     = var.dead_letter_days >= 1 && var.dead_letter_days == floor(var.dead_letter_days)
    error_message = "Give whole days, at least 1."
  }
}

variable "window_books" {
  description = "Whether a table has what became of the events of each minute."
  type        = bool
  default     = false
}

variable "receipt_days" {
  description = "Days that receipts, and books in windows, are kept: they hold no personal data."
  type        = number
  default     = 400

  validation {
    condition     = var.receipt_days >= 1 && var.receipt_days == floor(var.receipt_days)
    error_message = "Give whole days, at least 1."
  }
}

variable "machine_type" {
  description = "Machine type of the workers."
  type        = string
  default     = "n2-standard-2"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-[a-z]+-[0-9]+$", var.machine_type))
    error_message = "A machine type looks like n2-standard-2; the number at its end says how many processes share requests_per_second."
  }
}

variable "max_workers" {
  description = "Workers at most; the job file's requests_per_second is shared out over them. Changing it drains the job and starts another."
  type        = number
  default     = 5

  validation {
    condition     = var.max_workers >= 1 && var.max_workers <= 1000 && var.max_workers == floor(var.max_workers)
    error_message = "Dataflow takes 1 to 1000 whole workers."
  }
}

variable "id_attribute" {
  description = "Message attribute by which Dataflow drops repeats; empty for none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z_][A-Za-z0-9_.-]{0,31})?$", var.id_attribute))
    error_message = "Write the attribute's name, of at most 32 letters, digits, dots, dashes and underscores."
  }
}

variable "at_least_once" {
  description = "Whether Dataflow may process an event twice, which costs less: Meta drops repeats by their event_id. Dead letters may have rows twice."
  type        = bool
  default     = false
}

variable "network" {
  description = "Network of the workers, where it is not default and no subnetwork is named."
  type        = string
  default     = null

  validation {
    condition     = var.network == null || can(regex("(^|/)[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.network))
    error_message = "Write the network's name alone, such as capybeam, or projects/P/global/networks/N."
  }
}

variable "subnetwork" {
  description = "Subnetwork of the workers, as regions/R/subnetworks/S, where it is not the default network's; it needs a way out to graph.facebook.com."
  type        = string
  default     = null

  validation {
    condition     = var.subnetwork == null || can(regex("(^|/)regions/[^/]+/subnetworks/[^/]+$", var.subnetwork))
    error_message = "Write the subnetwork like regions/europe-west1/subnetworks/workers."
  }
}

variable "private_ips" {
  description = "Whether workers have no public addresses. Their subnetwork then needs Private Google Access and Cloud NAT, as network/ has them."
  type        = bool
  default     = false
}

variable "kms_key" {
  description = "Key of Cloud KMS, in the job's region, that encrypts workers' disks, the state of jobs and the tables: projects/P/locations/R/keyRings/K/cryptoKeys/N. It has to exist."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "Write the key like projects/acme-prod/locations/europe-west1/keyRings/capybeam/cryptoKeys/capybeam, without a version."
  }
}

variable "labels" {
  description = "Labels of all that can have some, beside application."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value)) && key != "application"])
    error_message = "Labels have at most 63 lowercase letters, digits, dashes and underscores, a key begins with a letter, and application is taken."
  }
}

variable "launchers" {
  description = "Who may start jobs, as the launcher account: members such as group:data@example.com or serviceAccount:deploy@acme-prod.iam.gserviceaccount.com."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.launchers : can(regex("^(user|group|serviceAccount|principal|principalSet):[^ ]+$", member))])
    error_message = "Write a member with its kind, such as group:data@example.com."
  }
}

variable "monitoring" {
  description = "Whether there are alert policies and a dashboard."
  type        = bool
  default     = true
}

variable "notification_channels" {
  description = "Channels of Cloud Monitoring that alerts go to: projects/P/notificationChannels/N. Without any, incidents are only listed."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", channel))])
    error_message = "Write a channel like projects/acme-prod/notificationChannels/1234567890: `gcloud beta monitoring channels list` has its name."
  }
}

variable "alert_dead_letters" {
  description = "Dead letters within an hour that are worth an alert when there are more. What an outage or a refusal leaves is always worth one."
  type        = number
  default     = 100

  validation {
    condition     = var.alert_dead_letters >= 0 && var.alert_dead_letters == floor(var.alert_dead_letters)
    error_message = "Give a whole number, at least 0."
  }
}

variable "alert_lag_minutes" {
  description = "Minutes that an event may wait before that is worth an alert."
  type        = number
  default     = 10

  validation {
    condition     = var.alert_lag_minutes >= 1 && var.alert_lag_minutes <= 1440 && var.alert_lag_minutes == floor(var.alert_lag_minutes)
    error_message = "Give whole minutes, from 1 to 1440."
  }
}

variable "nightly" {
  description = "A job that is started on a schedule by the batch template; null for none. A table is read from yesterday to today, which `parameters` may change. `datasets` (PROJECT.DATASET) and `buckets` are what it reads."
  type = object({
    template    = string
    input       = string
    datasets    = optional(set(string), [])
    buckets     = optional(set(string), [])
    parameters  = optional(map(string), {})
    schedule    = optional(string, "17 3 * * *")
    time_zone   = optional(string, "Etc/UTC")
    max_workers = optional(number, 5)
    paused      = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.nightly == null || can(regex("^gs://.+/batch\\.json$", var.nightly.template))
    error_message = "Write the template like gs://acme-capybeam/templates/20261101-120000/batch.json."
  }
  validation {
    condition     = var.nightly == null || can(regex("^(bigquery:|gs://)", var.nightly.input))
    error_message = "The input is bigquery:PROJECT.DATASET.TABLE, bigquery:SELECT …, or gs://BUCKET/FILES."
  }
  validation {
    condition     = var.nightly == null || alltrue([for dataset in try(var.nightly.datasets, []) : can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]\\.[A-Za-z0-9_]+$", dataset))])
    error_message = "Write each dataset as PROJECT.DATASET, such as acme-prod.segment."
  }
  validation {
    condition     = var.nightly == null || alltrue([for bucket in try(var.nightly.buckets, []) : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", bucket))])
    error_message = "Write each bucket's name alone, such as acme-events, without gs://."
  }
  validation {
    condition     = var.nightly == null || length(setintersection(keys(try(var.nightly.parameters, {})), ["config", "input", "dead_letters", "receipts", "window_books"])) == 0
    error_message = "The module itself gives the parameters config, input, dead_letters, receipts and window_books."
  }
  validation {
    condition     = var.nightly == null || !startswith(coalesce(try(var.nightly.parameters.since, null), "yesterday"), "last")
    error_message = "since = last is for `capybeam run`, which sees whether its job succeeds: a template's launcher does not. Give since and until, such as yesterday and today."
  }
  validation {
    condition     = var.nightly == null || can(regex("^[0-9A-Za-z*,/-]+( [0-9A-Za-z*,/-]+){4}$", var.nightly.schedule))
    error_message = "Write the schedule as cron does, with five fields: 17 3 * * * is at 03:17 each night."
  }
  validation {
    condition     = var.nightly == null || can(regex("^[A-Za-z]+([/_+-][A-Za-z0-9_+-]+)*$", var.nightly.time_zone))
    error_message = "The time zone is a name of the tz database, such as Europe/Berlin."
  }
  validation {
    condition     = var.nightly == null || try(var.nightly.max_workers >= 1 && var.nightly.max_workers <= 1000 && var.nightly.max_workers == floor(var.nightly.max_workers), false)
    error_message = "Dataflow takes 1 to 1000 whole workers."
  }
}
