"""What the kit knows before anything is run: harm taxonomy, suites, scenario bank, rubrics and published numbers.

Everything is read from the folder `data/` beside the package, which holds only what was written for this kit, and from
data-only wheels, whose files are read in place and never imported or copied. Nothing here writes a file or opens a
connection. Left out on purpose: the child-grooming topic of the published jailbreak category, and any protected text.
"""

from __future__ import annotations

from rai_kit.data.bank import draw_scenarios, load_scenarios
from rai_kit.data.files import Category, Rubric, Suite, data_dir, published_judges, published_table, wheel_file
from rai_kit.data.goal_files import GOAL_SOURCES, load_goals
from rai_kit.data.goals import draw_goals, held_out_goal_ids, part_of, split_strategies
from rai_kit.data.guides import rubric, rubric_names, rubrics_digest, suite
from rai_kit.data.matching import borrowed_prompts, harm_categories
from rai_kit.data.taxonomy import Goal, HarmCategory, Taxonomy, taxonomy

__all__ = [
    "GOAL_SOURCES",
    "Category",
    "Goal",
    "HarmCategory",
    "Rubric",
    "Suite",
    "Taxonomy",
    "borrowed_prompts",
    "data_dir",
    "draw_goals",
    "draw_scenarios",
    "harm_categories",
    "held_out_goal_ids",
    "load_goals",
    "load_scenarios",
    "part_of",
    "published_judges",
    "published_table",
    "rubric",
    "rubric_names",
    "rubrics_digest",
    "split_strategies",
    "suite",
    "taxonomy",
    "wheel_file",
]
