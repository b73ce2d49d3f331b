"""Plots of reports as SVG and PNG."""
