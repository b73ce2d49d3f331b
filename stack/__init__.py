"""The whole service on one machine, as processes that live and end together."""
