"""Tell people: pictures of decisions, tables on the terminal, one self-contained page."""

from tag2mask.report.gallery import MOST, PSEUDO, SURE, GalleryItem, gallery_data
from tag2mask.report.headline import Headline, headline
from tag2mask.report.overlay import (
    encode,
    heat,
    object_colours,
    overlay,
    thumbnail,
    thumbnail_labels,
)
from tag2mask.report.page import PageContent, write_page
from tag2mask.report.pair import PairRow, write_pair
from tag2mask.report.sheet import sheet, write_jpeg
from tag2mask.report.tables import compare_table, powered_table, scores_table
from tag2mask.report.trials import trials_markdown, trials_table

__all__ = [
    "MOST",
    "PSEUDO",
    "SURE",
    "GalleryItem",
    "Headline",
    "PageContent",
    "PairRow",
    "compare_table",
    "encode",
    "gallery_data",
    "headline",
    "heat",
    "object_colours",
    "overlay",
    "powered_table",
    "scores_table",
    "sheet",
    "thumbnail",
    "thumbnail_labels",
    "trials_markdown",
    "trials_table",
    "write_jpeg",
    "write_page",
    "write_pair",
]
