"""The voice platforms: what we ask of one, the accounts we hold with them, and what their codes mean.

A platform is reached through one Protocol, `contract.VoiceProvider`. An adapter translates and verifies; it decides
nothing. What a platform cannot do it does not claim (`Capability`), and what it will not say is *unknown*, never *no*.
The whole vocabulary stands in `contract`, the promises that every adapter is tested for in `conformance`. A platform
comes with the house or from an installed package (entry points `offhook.providers`).
"""

from offhook.providers.accounts import ProviderAccounts
from offhook.providers.causes import meaning
from offhook.providers.contract import CallReport, DialOrder
from offhook.providers.one_off import DialOne, OneOff, OneOffIn
from offhook.providers.registry import Providers

__all__ = ["CallReport", "DialOne", "DialOrder", "OneOff", "OneOffIn", "ProviderAccounts", "Providers", "meaning"]
