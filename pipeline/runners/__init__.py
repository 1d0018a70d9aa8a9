"""What Beam's runners can and cannot do, and what their errors mean."""
