"""Runs notebooks without a browser and makes one report of them: a single HTML file that loads nothing and runs nothing.

    load_profile("smoke")                                          # values by notebook, from params/smoke.yaml
    run_notebooks([], "smoke", ["n=5"], "outputs/smoke")           # all notebooks -> outputs/smoke/report.html
    render("outputs/smoke", ["00_quickstart"])                     # the page anew, from notebooks already executed

The only part that knows papermill and nbconvert; of the kit it imports `schema` and `html` alone. Left out on purpose: notebooks in
parallel (their kernels would fight for the same cores), scripts in the page (no MathJax, no widgets: write formulas in Unicode).
"""

from rai_kit.report.page import render
from rai_kit.report.parameters import Parameter, find_notebooks, load_profile, parameters_of
from rai_kit.report.run import NotebookFailed, latest, merge_summaries, run_notebooks

__all__ = [
    "NotebookFailed",
    "Parameter",
    "find_notebooks",
    "latest",
    "load_profile",
    "merge_summaries",
    "parameters_of",
    "render",
    "run_notebooks",
]
