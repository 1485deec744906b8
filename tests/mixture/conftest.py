from .made_sources import mixture, no_waiting_for_the_disk

__all__ = ["mixture", "no_waiting_for_the_disk"]
