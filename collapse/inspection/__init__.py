"""Floor 8. How close a real transformer is to collapse, measured while it runs.

Four families are read: the attention modules of torch.nn, BERT-, GPT-2- and Llama-style models of
transformers, and our own networks. Any other model is described by a Subject with a Site for each
attention layer, or refused by name.
"""

from collapse.inspection.diagnosis import diagnose
from collapse.inspection.families import Subject, multihead_site
from collapse.inspection.report import HeadReport, LayerReport, Report
from collapse.inspection.site import Projections, Site

__all__ = [
    "HeadReport",
    "LayerReport",
    "Projections",
    "Report",
    "Site",
    "Subject",
    "diagnose",
    "multihead_site",
]
