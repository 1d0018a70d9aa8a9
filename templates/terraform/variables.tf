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
  description = "What the job is called; subscription, topics, dataset and service account are named after it."
  type        = string
  default     = "capybeam"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,24}[a-z0-9]$", var.name)) && !can(regex("^goog", var.name))
    error_message = "The name has 6 to 26 lowercase letters, digits and dashes, and begins with a letter, not with goog: a service account and a subscription are named after it."
  }
}

variable "topic" {
  description = "The topic that events are published to: projects/P/topics/T. It has to exist."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/topics/[^/]+$", var.topic))
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

  validation {
    condition     = can(regex("^gs://.+/streaming\\.json$", var.template))
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

variable "subnetwork" {
  description = "Subnetwork of the workers, as regions/R/subnetworks/S, where it is not the default network's; it needs a way out to graph.facebook.com."
  type        = string
  default     = null

  validation {
    condition     = var.subnetwork == null || can(regex("(^|/)regions/[^/]+/subnetworks/[^/]+$", var.subnetwork))
    error_message = "Write the subnetwork like regions/europe-west1/subnetworks/workers."
  }
}
