"""Lengths of texts, computed in processes of the program `jobs-worker`, which is beside this file."""

from pathlib import Path

from ._native import Workers

WORKER = Path(__file__).with_name("jobs-worker")


def workers(count):
    return Workers(WORKER, count)
