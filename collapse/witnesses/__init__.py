"""Floor 7. Exact inputs and networks that refute a claim or attain a bound, chapter by chapter.

``res`` (chapter 1), ``contraction`` (3), ``layers`` (4) and ``skips`` (5). Where a witness is
rational it is given in Fractions, and so is everything that the package computes from it.
"""
