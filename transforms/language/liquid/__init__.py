"""Liquid templates as Segment renders them, which is LiquidJS's dialect."""
