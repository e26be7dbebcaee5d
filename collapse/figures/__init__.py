"""Floor 10. The book's figures: functions that make the data, and functions that draw it.

Each module serves one chapter. A data function returns a :class:`~collapse.figures.data.FigureData`
made from computed numbers only; a draw function puts it on axes and computes nothing.
:func:`~collapse.figures.style.show` draws, and writes the data beside the picture as JSON.
"""
