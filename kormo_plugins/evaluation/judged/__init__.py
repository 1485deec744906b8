"""Judged evaluation: answers of several turns, and the verdicts of a judge that is itself tested."""
