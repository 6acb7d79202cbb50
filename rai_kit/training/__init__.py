"""Safety post-training: examples -> SFT -> DPO -> weights that serve. Importing it loads neither torch nor transformers nor trl.

Left out on purpose: what to train on (that is chosen elsewhere), and full fine-tuning: adapters are enough here, and small.
"""

from rai_kit.training.checks import perplexity, token_agreement
from rai_kit.training.settings import EMBEDDED, Dpo, Lora, Recipe, Sft, load_recipe
from rai_kit.training.stage import Stage, dpo, sft
from rai_kit.training.together import main_process, processes, wait_for_all
from rai_kit.training.weights import average, base_folder, merge, to_gguf

__all__ = [
    "EMBEDDED",
    "Dpo",
    "Lora",
    "Recipe",
    "Sft",
    "Stage",
    "average",
    "base_folder",
    "dpo",
    "load_recipe",
    "main_process",
    "merge",
    "perplexity",
    "processes",
    "sft",
    "to_gguf",
    "token_agreement",
    "wait_for_all",
]
