terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
    google-beta = { # Flex template jobs are in the beta provider alone
      source  = "hashicorp/google-beta"
      version = ">= 6.0, < 8.0"
    }
  }
}
