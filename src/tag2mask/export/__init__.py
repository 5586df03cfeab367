"""Stage 9: what other programs read."""

from tag2mask.export.coco import write_coco_boxes as write_coco_boxes
from tag2mask.export.coco import write_coco_instances as write_coco_instances
from tag2mask.export.coco import write_coco_masks as write_coco_masks
from tag2mask.export.cvat import write_cvat as write_cvat
from tag2mask.export.label_studio import write_label_studio as write_label_studio
from tag2mask.export.labelled import Labelled as Labelled
from tag2mask.export.voc import pack_voc_server as pack_voc_server
from tag2mask.export.voc import write_voc as write_voc
