"""How fast the package is: ratios, both sides measured in turn in one run.

    python -m benchmarks [--device cuda] [--out FILE] [--only GROUP ...]

====================  ========================================================
``timing``            taking turns, and what is made of the times
``record``            the file of results, and what it was measured on
``tokens``            residual_norm, the exact ∞→1 norm
``networks``          forward, rung 2, centred propagation, sweeps
``learning``          training ensembles, the adversary
``memory``            high-water marks, each in a process of its own
``cases``             the groups by name
``gpu``, ``times``    what ran on a GPU, and how long the steps of the build took
====================  ========================================================
"""
