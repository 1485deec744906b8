"""Judged evaluation: multi-turn answers and the verdicts of a judge, which is itself tested."""
