"""From saved files to plans, tables, figures and reports: the library under the programs."""
