"""Segment's mapping language: triggers, directives, fields, Liquid templates."""
