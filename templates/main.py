"""What FLEX_TEMPLATE_PYTHON_PY_FILE names."""

from pipeline.launch import main

main()
