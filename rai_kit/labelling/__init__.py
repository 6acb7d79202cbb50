"""Labelling one's own run: a two-phase sample, a sheet that is blind to arm, target and verdict, and a cell to fill it in."""

from rai_kit.labelling.cells import label_cells
from rai_kit.labelling.csv_files import CsvFile, parse_csv, read_csv
from rai_kit.labelling.sampling import Sample, sample_for_labelling
from rai_kit.labelling.sheets import Item, Key, Label, is_sheet, read_key, read_sheet, whole, write_sheet

__all__ = [
    "CsvFile",
    "Item",
    "Key",
    "Label",
    "Sample",
    "is_sheet",
    "label_cells",
    "parse_csv",
    "read_csv",
    "read_key",
    "read_sheet",
    "sample_for_labelling",
    "whole",
    "write_sheet",
]
