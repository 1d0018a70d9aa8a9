"""What FLEX_TEMPLATE_PYTHON_PY_FILE names."""

from capybeam.pipeline.launch import main

main()
