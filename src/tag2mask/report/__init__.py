"""Tell people: pictures of decisions, tables on the terminal, one self-contained page."""

from tag2mask.report.overlay import encode, heat, overlay, thumbnail, thumbnail_labels
from tag2mask.report.page import GalleryItem, PageContent, write_page
from tag2mask.report.tables import compare_table, scores_table

__all__ = [
    "GalleryItem",
    "PageContent",
    "compare_table",
    "encode",
    "heat",
    "overlay",
    "scores_table",
    "thumbnail",
    "thumbnail_labels",
    "write_page",
]
