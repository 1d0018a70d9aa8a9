"""Dataflow Flex templates, and Terraform for all that a job needs. `make templates` writes what is made from code."""
