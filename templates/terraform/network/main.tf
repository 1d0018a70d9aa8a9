# A network for workers without public addresses: Google's APIs by Private Google Access, Meta by Cloud NAT.

terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
  }
}

variable "project" {
  description = "ID of the Google Cloud project."
  type        = string

  validation {
    condition     = can(regex("^([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project's ID has 6 to 30 lowercase letters, digits and dashes, such as acme-prod; it is not the project's number or name."
  }
}

variable "region" {
  description = "Region of the subnetwork, and of the jobs in it."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region looks like europe-west1; a zone such as europe-west1-b is none."
  }
}

variable "name" {
  description = "Name of the network, and of all in it."
  type        = string
  default     = "capybeam"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,55}[a-z0-9]$", var.name))
    error_message = "The name has 2 to 57 lowercase letters, digits and dashes, and begins with a letter."
  }
}

variable "range" {
  description = "Addresses of the workers, one each."
  type        = string
  default     = "10.8.0.0/24"

  validation {
    condition     = can(cidrhost(var.range, 0)) && can(regex("/(2[0-8]|1[0-9]|[89])$", var.range))
    error_message = "Write a range such as 10.8.0.0/24, from /8 to /28."
  }
}

resource "google_compute_network" "this" {
  project                 = var.project
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  project                  = var.project
  region                   = var.region
  name                     = var.name
  network                  = google_compute_network.this.id
  ip_cidr_range            = var.range
  private_ip_google_access = true
}

resource "google_compute_router" "this" {
  project = var.project
  region  = var.region
  name    = var.name
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "this" {
  project                            = var.project
  region                             = var.region
  name                               = var.name
  router                             = google_compute_router.this.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.this.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }
}

# Workers talk to each other where Streaming Engine or Dataflow Shuffle do not do it for them.
resource "google_compute_firewall" "workers" {
  project     = var.project
  name        = "${var.name}-dataflow"
  network     = google_compute_network.this.id
  source_tags = ["dataflow"]
  target_tags = ["dataflow"]
  description = "Dataflow's workers among themselves."
  allow {
    protocol = "tcp"
    ports    = ["12345-12346"]
  }
}

output "network" {
  description = "The network's name."
  value       = google_compute_network.this.name
}

output "subnetwork" {
  description = "The subnetwork, as the module's variable of that name wants it."
  value       = "regions/${var.region}/subnetworks/${google_compute_subnetwork.this.name}"
}
