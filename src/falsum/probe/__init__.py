"""What negative samplers draw: how hard, how often false, how diverse, at what cost, under one frozen model."""

from falsum.probe.findings import Finding, Probed
from falsum.probe.noises import all_chosen, chosen
from falsum.probe.page import write_page
from falsum.probe.study import Study

__all__ = ["Finding", "Probed", "Study", "all_chosen", "chosen", "write_page"]
