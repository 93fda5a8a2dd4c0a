"""Render one view of a phantom as a digital mammogram."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from mammogan.data.dicom_writer import Header, Window
from mammogan.data.phantom.anatomy import (
    Lines,
    draw_ducts,
    draw_lesions,
    draw_ligaments,
    draw_outline,
    draw_pectoral,
    draw_vessels,
    strands,
    threads,
)
from mammogan.data.phantom.grid import COARSE, FIELD, column_positions, enlarge, row_positions
from mammogan.data.phantom.patient import VENDORS, VIEWS, Lesion, Patient, Phantom, Vendor, patient
from mammogan.data.phantom.texture import texture


def render(seed: int, number: int, view: str, laterality: str, *, height: int = 1280, width: int = 1024) -> Phantom:
    """Draw one view of one patient.

    Args:
        seed: of the population.
        number: of the patient, 0-based.
        view, laterality: "CC" or "MLO"; "L" or "R".
        height, width: pixels, 5 : 4; the same breast whatever they are, with more or less detail.

    Raises:
        ValueError: an unknown view or laterality, a size that is not 5 : 4 or smaller than 80 x 64.
    """
    if (laterality, view) not in VIEWS:
        raise ValueError(f"{laterality} {view} is no view of the phantoms; take L or R, CC or MLO.")
    if height * 4 != width * 5 or height < 80:
        raise ValueError(f"A phantom is drawn 5 : 4 and 80 pixels high or more, not {height} x {width}.")
    who = patient(seed, number)
    which = VIEWS.index((laterality, view))
    rng = np.random.default_rng([seed, number, 1, which])
    fine = np.random.default_rng([seed, number, 2, which])
    breast = np.random.default_rng([seed, number, 3, "LR".index(laterality)])  # both views of a breast share lesions

    shape = (height, width)
    per_mm = height / FIELD[0]
    skin, nipple_y, (top, bottom) = draw_outline(rng, who, view)
    # Coarse maps are brought to the grid by interpolation: the same at every size.
    coarse_mm = FIELD[0] / COARSE[0]
    y, x = row_positions(COARSE), column_positions(COARSE)
    edge = skin(y[:, 0])
    depth = float(skin(nipple_y))
    inside = x < edge[:, None]
    # Distance to the skin; the chest wall and the image's upper edge are no skin.
    padded = np.pad(inside, ((1, 1), (0, 1)))
    if view == "MLO":
        padded[0] = padded[1]
    inward = ndimage.distance_transform_edt(padded)[1:-1, :-1] - 0.5
    outward = ndimage.distance_transform_edt(~padded)[1:-1, :-1] - 0.5
    # Smoothing takes the stairs of the coarse grid out of the skin line.
    coarse_distance = ndimage.gaussian_filter(np.where(inside, inward, -outward), 1.0 / coarse_mm) * coarse_mm
    distance = enlarge(coarse_distance, shape)

    clouds = texture(rng, fine, shape, who.beta)
    coarse_clouds = ndimage.gaussian_filter(clouds, 3.0 * per_mm)
    weave = texture(rng, fine, shape, 2.6)
    # Strands: crests of band-limited noise, drawn out toward the nipple.
    nipple = (nipple_y, depth)
    fibers = strands(rng, shape, nipple)

    # Where glandular tissue lies: behind the nipple, more above than below, free of a rim of fat under the skin.
    gy, gx = nipple_y - 0.10 * who.height + rng.normal(0, 4), depth * rng.uniform(0.52, 0.62)
    span_y, span_x = who.height * rng.uniform(0.52, 0.72), depth * rng.uniform(0.44, 0.58)
    if view == "MLO":
        gy -= 0.06 * who.height
    envelope = 1 - np.hypot((y - gy) / span_y, (x - gx) / span_x)
    envelope = np.minimum(envelope, (coarse_distance - rng.uniform(4, 9)) / 12)
    # Tissue thins out over a centimeter or two rather than ending: the share decides where its middle lies.
    lobes = enlarge(envelope, shape) * 1.4 + 0.85 * coarse_clouds
    threshold = np.quantile(lobes[::4, ::4][distance[::4, ::4] > 3], 1 - who.glandular)
    gland = 1 / (1 + np.exp(-(lobes - threshold) / 0.38))
    # Threads of connective tissue carry the gland; between them lies fat.
    connective = threads(rng, shape) * 0.6 + fibers * 0.5
    amount = gland * (
        0.42 + who.strands * 0.62 * connective + (0.10 + 0.10 * (1 - who.strands)) * clouds + 0.05 * weave
    )
    amount += 0.10 * np.clip(connective, 0, None) * enlarge(np.clip(envelope + 1.0, 0, 1), shape)
    amount += 0.035 * weave + 0.03 * clouds
    amount = np.logaddexp(0, 18 * (amount + 0.06)) / 18 - 0.06  # nothing absorbs less than fat does

    lines = Lines(shape, per_mm)
    draw_vessels(rng, lines, who, skin, nipple, (top, bottom))
    draw_ducts(rng, lines, nipple, who)
    draw_ligaments(rng, lines, skin, (top, bottom))
    lesions = draw_lesions(breast, rng, lines, who, view, gy, gx, span_y, span_x)
    amount += lines.drawn()

    # Compressed thickness: full inside, rounded off toward the skin; processing evens most of it out.
    rim = np.clip(distance, 0, None)
    full = 1 - np.exp(-rim / (0.16 * who.thickness))
    path = 0.30 + 0.70 * full
    gray = path * (0.165 + 0.74 * amount * (0.35 + 0.65 * full))
    gray += rng.uniform(0.08, 0.16) * np.exp(-(((rim - 1.0) / 0.7) ** 2))
    spot = ((row_positions(shape) - nipple_y) / 5.5) ** 2 + ((column_positions(shape) - depth + 1.5) / 4.5) ** 2
    gray += rng.uniform(0.08, 0.25) * np.exp(-(spot**2))
    if view == "MLO":
        gray = draw_pectoral(rng, gray, shape, who, clouds + 0.7 * weave, depth, float(skin(top)))
    elif rng.random() < 0.12:
        sliver = (column_positions(shape) - rng.uniform(2, 6)) + (
            (row_positions(shape) - rng.normal(0, 10)) / 40
        ) ** 2 * 6
        gray += 0.22 / (1 + np.exp(np.clip(sliver / 1.2, -30, 30)))
    gray += lines.calcifications()
    gray = np.clip(gray, 0, None)

    # Detector: a little blur, then quantum noise that grows with the signal behind it.
    gray = ndimage.gaussian_filter(gray, 0.12 * per_mm)
    vendor = VENDORS[int(np.random.default_rng([seed, number, 4]).integers(len(VENDORS)))]
    gray = who.gain * vendor.contrast * gray
    noise = 0.012 * np.sqrt(np.clip(gray, 0.02, 1)) * min(per_mm / 4, 1.2)
    gray = gray + noise * fine.standard_normal(shape, np.float32)
    gray = np.clip(1.06 * np.clip(gray, 0, None) ** who.gamma, 0, None)
    # The top of the display rolls off instead of clipping, as a toe and shoulder curve does.
    gray = np.where(gray > 0.75, 0.75 + 0.25 * np.tanh((gray - 0.75) / 0.25), gray)
    inside_fine = np.clip(distance * per_mm + 0.5, 0, 1)
    shown = np.clip(gray * inside_fine, 0, 1)
    if laterality == "R":
        shown = shown[:, ::-1]
    return _finish(shown, seed, number, which, who, vendor, lesions)


def _finish(
    shown: np.ndarray, seed: int, number: int, which: int, who: Patient, vendor: Vendor, lesions: list[Lesion]
) -> Phantom:
    """Store the gray values so that the vendor's default window shows them, and write the header."""
    laterality, view = VIEWS[which]
    width = float(vendor.high - vendor.low)
    center = vendor.low + width / 2
    if vendor.function == "SIGMOID":
        clipped = np.clip(shown, 0.004, 0.996)
        stored = center + width / 4 * np.log(clipped / (1 - clipped))
    else:
        stored = vendor.low + shown * width
        # LINEAR maps center - 1/2 +- (width - 1) / 2 (PS3.3 C.11.2.1.2.1).
        center, width = center + 0.5, width + 1
    windows = [Window(center, width), *(Window(center, width * factor, name) for name, factor in vendor.more)]
    index = 4 * number + which
    choice = np.random.default_rng([seed, number, 5, which])
    header = Header(
        view=view,
        laterality=laterality,
        key=f"phantom-{seed}-{index}-{shown.shape[0]}x{shown.shape[1]}",
        study=f"phantom-{seed}-{number}",
        patient=f"PHANTOM^{number:06d}",
        age=who.age,
        spacing_mm=FIELD[0] / shown.shape[0],
        windows=tuple(windows),
        function=vendor.function,
        inverted=bool(choice.random() < 0.2),
        compressed=bool(choice.random() < 0.25),
        manufacturer=vendor.manufacturer,
        model=vendor.model,
        comment="Procedural phantom; shows no person.",
    )
    pixels = np.clip(np.rint(stored), 0, 4095).astype(np.uint16)
    return Phantom(pixels, shown, header, who.density, lesions)
