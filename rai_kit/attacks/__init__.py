"""Red-team strategies: a goal, a way of going about it, and a target that is only ever asked.

An attack is a frozen dataclass that is called with a goal and a `Session`; `attempt` lets one try one goal. To add one: write such
a class, or a file in `data/attacks/`, and name it in `catalogue.py` and in `data/attacks/personas.yaml`. All are black-box: user
messages, nothing else.
"""

from rai_kit.attacks.bandit import Thompson
from rai_kit.attacks.catalogue import RAINBOW, check_names, persona_of, persona_shares, strategy, strategy_names, titles
from rai_kit.attacks.encodings import SCHEMES, Competence, competence
from rai_kit.attacks.personas import personas
from rai_kit.attacks.rainbow import STYLES, Archive
from rai_kit.attacks.replay import Replay
from rai_kit.attacks.session import FATAL, RUBRIC, THRESHOLD, Attack, Barred, Ended, Session, attempt

__all__ = [
    "FATAL",
    "RAINBOW",
    "RUBRIC",
    "SCHEMES",
    "STYLES",
    "THRESHOLD",
    "Archive",
    "Attack",
    "Barred",
    "Competence",
    "Ended",
    "Replay",
    "Session",
    "Thompson",
    "attempt",
    "check_names",
    "competence",
    "persona_of",
    "persona_shares",
    "personas",
    "strategy",
    "strategy_names",
    "titles",
]
