"""What model calls cost: tokens and money as they happen, a budget, and an estimate before the start.

What is not known is never taken for 0: money is None where a model has no price, and calls whose endpoint reported no token counts are
`uncounted`, which makes their sums lower bounds. Left out on purpose: discounts (cached prompts, batches), fees by the call,
and prices from the network.
"""

from __future__ import annotations

from rai_kit.cost.forecast import Forecast, Needs, Part, Sizes, forecast, needs
from rai_kit.cost.ledger import Ledger, charged_to
from rai_kit.cost.prices import Budget, Price, Prices

__all__ = ["Budget", "Forecast", "Ledger", "Needs", "Part", "Price", "Prices", "Sizes", "charged_to", "forecast", "needs"]
