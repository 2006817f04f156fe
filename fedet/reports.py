"""Runs the notebooks into a report that opens anywhere; a notebook records its figures with `record`."""

from fedet.headlines import record, record_table

__all__ = ["record", "record_table"]
