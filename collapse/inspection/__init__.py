"""Floor 8. How close a real transformer is to collapse, measured while it runs.

Four families are read: the attention modules of torch.nn, BERT-, GPT-2- and Llama-style models of
transformers, and our own networks. Anything else is refused by name.
"""

from collapse.inspection.diagnosis import diagnose
from collapse.inspection.report import HeadReport, LayerReport, Report

__all__ = ["HeadReport", "LayerReport", "Report", "diagnose"]
