"""What the kit knows before anything is run: suites, scenario bank, rubrics and published numbers.

Everything is read from the folder `data/` beside the package, which holds only what was written for this kit, and from
data-only wheels, whose files are read in place and never imported or copied. Nothing here writes a file or opens a
connection. Left out on purpose: the child-grooming topic of the published jailbreak category, and any protected text.
"""

from __future__ import annotations

from rai_kit.data.bank import draw_scenarios, load_scenarios
from rai_kit.data.files import Category, Rubric, Suite, data_dir, published_table, rubric, rubric_names, suite, wheel_file

__all__ = [
    "Category",
    "Rubric",
    "Suite",
    "data_dir",
    "draw_scenarios",
    "load_scenarios",
    "published_table",
    "rubric",
    "rubric_names",
    "suite",
    "wheel_file",
]
