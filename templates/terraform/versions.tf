terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
    google-beta = { # Flex template jobs are in the beta provider alone; before 6.40 it would make a Python job anew at each apply
      source  = "hashicorp/google-beta"
      version = ">= 6.40, < 8.0"
    }
  }
}
