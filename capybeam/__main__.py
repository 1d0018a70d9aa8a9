"""``python -m capybeam``: the command line."""

from capybeam.pipeline.cli import main

if __name__ == "__main__":
    main()
