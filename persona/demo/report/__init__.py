"""The demo's report: one page that needs nothing else, and its headline figures for a terminal."""

from persona.demo.report.headlines import summary_table
from persona.demo.report.page import write_report

__all__ = ["summary_table", "write_report"]
