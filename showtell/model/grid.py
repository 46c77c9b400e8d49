"""The shape of the grid that an encoder gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GridShape:
    """The cells of a grid, row by row from the top left, as they lie on the square picture that the encoder sees."""

    rows: int
    columns: int
    copies: int = 1
    """How many cells of the promised grid each of these stands for: 4 where 14 x 14 is pooled up from 7 x 7."""

    @property
    def cells(self) -> int:
        return self.rows * self.columns

    def box(self, cell: int) -> tuple[float, float, float, float]:
        """The part of the picture that a cell stands for: left, top, right, bottom, each in 0..1."""
        row, column = divmod(cell, self.columns)
        return column / self.columns, row / self.rows, (column + 1) / self.columns, (row + 1) / self.rows
