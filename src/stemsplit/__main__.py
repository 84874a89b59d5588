"""Runs `python -m stemsplit`."""

from stemsplit.cli import program

if __name__ == "__main__":
    program()
