"""Who speaks for the user: a scripted user that reads the answers, and a user played by a model.

Left out on purpose: red-team strategies, which pursue a goal with a method (`attacks`), and any judging of answers.
"""

from rai_kit.simulators.played import LLMUser
from rai_kit.simulators.reading import Reaction, read_answer
from rai_kit.simulators.scripted import ScriptedUser

__all__ = ["LLMUser", "Reaction", "ScriptedUser", "read_answer"]
