"""Find what an image shows besides the breast: film labels to remove; clips, markers, pacemakers and text to flag."""

import numpy as np
from scipy import ndimage

from mammogan.data.averaging import LookUp
from mammogan.data.film import RECTANGLE, extent
from mammogan.data.geometry import enlarged, overview, resize
from mammogan.data.segmentation import breast_mask, lit_threshold
from mammogan.errors import Reason, Refused

# Flags of an accepted image: worth a look, and with --refuse-flag a reason to refuse it.
FLAGS = {
    "clips": "small metal, such as surgical clips or a biopsy marker, in the breast",
    "pacemaker": "large metal, such as a pacemaker or a port, in the image",
    "marker": "a lead marker outside the breast",
    "text": "text burned into the picture",
    "clipped": "more than 2 % of the breast at the brightest gray value",
    "label_removed": "film labels that were painted over",
    "synthetic": "an image that was drawn by a program, not taken of a patient",
    "aspect": "pixels that were not square and were made so by their spacing",
    "inverted": "a breast that was darker than its background, and gray values that were inverted",
    "bits": "gray values with fewer or more bits than stated, which were taken as the pixels show",
    "other_window": "a default window of hardly more than black and white, replaced by the next one of the file",
    "padding": "a padding value within the breast, which was not applied",
    "direction": "a chest wall that may be at the top or bottom",
    "contrast": "an image of low energy from a contrast-enhanced pair",
    "described": "a description that mentions, in doubt, a reason for which images are refused",
    "side": "a chest wall at the other edge than the laterality says",
}
WHITE = 0.985  # metal absorbs everything: it is displayed at the bright end


def flags_of(gray: np.ndarray) -> list[str]:
    """Return the flags of an image (h, w) in [0, 1], in the order of `FLAGS`.

    Sizes are judged as shares of the image's height, so that any level of the pyramid with 320 rows or more will do;
    coarser ones do not resolve a clip.
    """
    height = gray.shape[0]
    # A coarse image shows the outline of the breast as well; only what is small needs the fine one.
    step = max(min(gray.shape) // 128, 1)
    coarse = resize(gray, height // step, gray.shape[1] // step)
    outline = breast_mask(coarse)
    breast = enlarged(outline, gray.shape)
    flags, metal = _metal(gray, breast)
    tissue = breast & ~metal
    if np.count_nonzero(tissue & (gray >= 1 - 1e-6)) > 0.02 * np.count_nonzero(tissue):
        flags.add("clipped")
    near = enlarged(ndimage.binary_dilation(outline, iterations=max(len(outline) // 64, 1)), gray.shape)
    outside = ~near & (gray > 0.3 + lit_threshold(coarse))
    if outside.any():
        labels, _ = ndimage.label(outside, np.ones((3, 3)))
        boxes = ndimage.find_objects(labels)
        heights = np.array([box[0].stop - box[0].start for box in boxes]) / height
        if ((heights > 0.004) & (heights < 0.02)).sum() >= 6:
            flags.add("text")
        for number in np.flatnonzero(heights >= 0.02):
            box = boxes[number]
            # Near the picture's border, a piece of tissue apart from the breast is seen more often than a marker.
            edge = height // 50
            at_border = any(s.start <= edge or s.stop >= side - edge for s, side in zip(box, gray.shape, strict=True))
            if not at_border or extent(labels[box] == number + 1) >= RECTANGLE:
                flags.add("marker")
    return [flag for flag in FLAGS if flag in flags]


def _metal(gray: np.ndarray, breast: np.ndarray) -> tuple[set[str], np.ndarray]:
    """Return the flags "clips" and "pacemaker" of an image, and True where the metal is.

    Metal ends abruptly: within a millimeter there is ordinary tissue again, while bright tissue fades out. Of the
    bright spots in 252 mammograms 1 % pass this test, of metal planted in them 90 %.
    """
    flags: set[str] = set()
    metal, white = np.zeros(gray.shape, bool), gray >= WHITE
    if not white.any():
        return flags, metal
    labels, _ = ndimage.label(white)
    areas = np.bincount(labels[white])[1:]
    reach = max(len(gray) / 640, 1.0)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        area = areas[number - 1]
        if area < 3 * reach**2:
            continue
        around = tuple(slice(max(s.start - int(3 * reach), 0), s.stop + int(3 * reach)) for s in box)
        body = labels[around] == number
        distance = ndimage.distance_transform_edt(~body)
        ring = (distance > reach) & (distance <= 2 * reach)
        if not ring.any() or np.median(gray[around][ring]) > 0.65:
            continue
        large = area > 0.003 * gray.size
        if large or (breast[around][body].any() and area < 0.0015 * gray.size):
            flags.add("pacemaker" if large else "clips")
            metal[around] |= body
    return flags, metal


def check_image(gray: np.ndarray | LookUp) -> None:
    """Refuse an image that is too small or blank."""
    if min(gray.shape) < 64:
        raise Refused(Reason.TOO_SMALL, "The image has a side shorter than 64 pixels.")
    if float(overview(gray).std()) < 0.005:
        raise Refused(Reason.BLANK, "The image is blank.")


def check_breast(gray: np.ndarray | LookUp) -> np.ndarray:
    """Return the mask of the breast in the overview of an image.

    Refuse an image that is too small or blank, or whose largest bright region covers < 2 % or > 98 % of it.
    """
    check_image(gray)
    mask = breast_mask(overview(gray))
    share = float(mask.mean())
    if not 0.02 <= share <= 0.98:
        raise Refused(Reason.NOT_A_BREAST, f"The bright region covers {share:.0%} of the image, unlike a breast.")
    return mask
