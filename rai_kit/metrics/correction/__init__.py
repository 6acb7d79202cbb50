"""Rates as people would have found them, from what a judge found and from where people and judge are known to disagree.

Two routes. A *card* (how often the judge says what where people say what) corrects rates of other answers: Rogan-Gladen for one
threshold, a mixture for the whole scale; that holds only where the card's answers are of the same kind as the judged ones. Labels
*of the judged answers themselves* need no such trust: prediction-powered inference. A card that cannot carry a correction refuses
it and says why. Left out on purpose: correction of means (ungroundedness), and unequal cards within one arm.
"""

from rai_kit.metrics.correction.card import reported_rate, rogan_gladen, rogan_gladen_difference
from rai_kit.metrics.correction.common import Corrected, refusal
from rai_kit.metrics.correction.mixture import transport_check
from rai_kit.metrics.correction.ordinal import ordinal_correction
from rai_kit.metrics.correction.prediction import ppi, ppi_difference

__all__ = [
    "Corrected",
    "ordinal_correction",
    "ppi",
    "ppi_difference",
    "refusal",
    "reported_rate",
    "rogan_gladen",
    "rogan_gladen_difference",
    "transport_check",
]
