"""Exact and near duplicates, and contamination with evaluation items."""
