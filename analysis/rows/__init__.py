"""Rows of a study: loaded, checked, selected, scored and labelled."""
