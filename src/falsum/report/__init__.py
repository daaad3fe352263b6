"""Run folders as tables and pages."""

from falsum.report.markdown import compare_table
from falsum.report.page import write_page

__all__ = ["compare_table", "write_page"]
