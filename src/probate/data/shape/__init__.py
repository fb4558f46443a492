"""Shape of a data file: which columns hold text, prompt, label and groups. All commands use this reader."""

from probate.data.shape.cells import normal_label
from probate.data.shape.chat import Turn
from probate.data.shape.infer import infer_shape
from probate.data.shape.language import LOOKED_AT, language_of
from probate.data.shape.shape import Given, Shape
from probate.data.shape.table import Table, read_table, shape_of_file

__all__ = [
    "LOOKED_AT",
    "Given",
    "Shape",
    "Table",
    "Turn",
    "infer_shape",
    "language_of",
    "normal_label",
    "read_table",
    "shape_of_file",
]
