"""Run the command as ``python -m compressor``."""

from compressor.cli import main

if __name__ == "__main__":
    main()
