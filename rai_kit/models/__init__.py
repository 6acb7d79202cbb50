"""Chat models over any OpenAI-compatible endpoint, each call kept in a journal."""

from rai_kit.models.address import EMBEDDED, OPENAI, Address, parse_address
from rai_kit.models.chat import ChatModel

__all__ = ["EMBEDDED", "OPENAI", "Address", "ChatModel", "parse_address"]
