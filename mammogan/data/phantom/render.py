"""Render one view of a phantom as a digital mammogram."""

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator, default_rng
from scipy import ndimage

from mammogan.data.dicom_writer import Encoding, Header, Identity, Window
from mammogan.data.phantom import anatomy
from mammogan.data.phantom.anatomy import Lesion, Lines
from mammogan.data.phantom.breast import Breast, draw_breast
from mammogan.data.phantom.grid import COARSE, FIELD, column_positions, enlarge, row_positions
from mammogan.data.phantom.patient import VENDORS, VIEWS, Patient, Vendor, patient
from mammogan.data.phantom.texture import texture
from mammogan.errors import ParameterError
from mammogan.types import Size


@dataclass
class Phantom:
    """One image and its contents."""

    pixels: np.ndarray = field(repr=False)  # (height, width), uint16 in 0 ... 4095 as stored
    shown: np.ndarray = field(repr=False)  # (height, width), float in [0, 1], as the default window displays them
    header: Header
    encoding: Encoding
    density: str  # BI-RADS class, A to D
    lesions: list[Lesion]


class Scene:
    """One view of a breast while it is drawn: its skin, and the distance to it in mm, negative outside."""

    def __init__(self, size: Size, view: str, who: Patient, breast: Breast, rng: Generator, fine: Generator) -> None:
        self.size, self.view, self.who, self.breast = size, view, who, breast
        self.rng = rng  # of everything that is the same at every size
        self.fine = fine  # of detail that only larger images resolve, and of noise
        self.per_mm = size.height / FIELD[0]
        self.outline = anatomy.draw_outline(rng, breast, view)
        self.coarse_distance = self._distance()  # on the grid `COARSE`
        self.distance = enlarge(self.coarse_distance, size)

    def _distance(self) -> np.ndarray:
        inside = column_positions(COARSE) < self.outline.skin(row_positions(COARSE)[:, 0])[:, None]
        # The chest wall and the image's upper edge are not skin.
        padded = np.pad(inside, ((1, 1), (0, 1)))
        if self.view == "MLO":
            padded[0] = padded[1]
        inward = ndimage.distance_transform_edt(padded)[1:-1, :-1] - 0.5
        outward = ndimage.distance_transform_edt(~padded)[1:-1, :-1] - 0.5
        # Smoothing removes the stairs of the coarse grid from the skin line.
        coarse_mm = FIELD[0] / COARSE.height
        return ndimage.gaussian_filter(np.where(inside, inward, -outward), 1.0 / coarse_mm) * coarse_mm


def check_size(height: int, width: int) -> None:
    """Raise a ParameterError for a size at which no phantom can be drawn."""
    if height * 4 != width * 5 or height < 80:
        raise ParameterError(f"A phantom of {height} x {width} is impossible; choose 5 : 4 and a height of 80 or more.")


def render(seed: int, number: int, view: str, laterality: str, *, height: int = 1280, width: int = 1024) -> Phantom:
    """Draw one view of one patient.

    Args:
        seed: random seed of the population.
        number: number of the patient, from 0.
        view, laterality: "CC" or "MLO"; "L" or "R".
        height, width: pixels, 5 : 4; the same breast at every size, with more or less detail.

    Raises:
        ParameterError: an unknown view or laterality, a size that is not 5 : 4 or smaller than 80 x 64.
    """
    if (laterality, view) not in VIEWS:
        raise ParameterError(f"{laterality} {view} is not a view of the phantoms; choose L or R, and CC or MLO.")
    check_size(height, width)
    who, which = patient(seed, number), VIEWS.index((laterality, view))
    rng, fine = (default_rng([seed, number, stream, which]) for stream in (1, 2))
    # What both breasts of a patient share, and what both views of a breast share.
    woman, side = default_rng([seed, number, 6]), default_rng([seed, number, 3, "LR".index(laterality)])
    breast = draw_breast(who, woman, side)
    scene = Scene(Size(height, width), view, who, breast, rng, fine)
    amount, clutter = _tissue(scene)
    lines = Lines(scene.size)
    anatomy.draw_vessels(side, lines, scene.outline, breast, who.age)
    anatomy.draw_ducts(side, lines, scene.outline, breast)
    anatomy.draw_ligaments(rng, lines, scene.outline)
    lesions = anatomy.draw_lesions(side, rng, lines, scene.outline, breast.gland)
    gray = np.clip(_projection(scene, amount + lines.drawn(), clutter) + lines.calcifications(), 0, None)
    vendor = VENDORS[int(default_rng([seed, number, 4]).integers(len(VENDORS)))]
    shown = _detected(scene, gray, vendor)
    if laterality == "R":
        shown = shown[:, ::-1]
    pixels, windows = _stored(shown, vendor)
    key, study = f"phantom-{seed}-{4 * number + which}-{height}x{width}", f"phantom-{seed}-{number}"
    header = Header(
        view,
        laterality,
        Identity(key, study, f"PHANTOM^{number:06d}", who.age, which + 1),
        vendor.device,
        spacing_mm=FIELD[0] / height,
        windows=windows,
        function=vendor.function,
        comment="Procedural phantom; shows no person.",
    )
    choice = default_rng([seed, number, 5, which])
    encoding = Encoding(inverted=bool(choice.random() < 0.2), compressed=bool(choice.random() < 0.25))
    return Phantom(pixels, shown, header, encoding, who.density, lesions)


def _tissue(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return the amount of fibroglandular tissue (h, w), and noise that the muscle shares (h, w)."""
    rng, who, size, outline = scene.rng, scene.who, scene.size, scene.outline
    clouds = texture(rng, scene.fine, size, who.beta)
    weave = texture(rng, scene.fine, size, 2.6)
    # Strands: crests of band-limited noise, drawn out toward the nipple.
    connective = anatomy.threads(rng, size) * 0.5 + anatomy.strands(rng, size, outline.nipple) * 0.5
    # The gland, free of a rim of fat under the skin.
    rows, columns = np.broadcast_arrays(row_positions(COARSE), column_positions(COARSE))
    gland = scene.breast.projected(scene.view)
    at = (rows - outline.middle) / outline.bottom, columns / outline.nipple[1]
    voxels = ((at[0] + 1) / 2 * gland.shape[0] - 0.5, at[1] * gland.shape[1] - 0.5)
    coarse = np.clip(ndimage.map_coordinates(gland, voxels, order=3, mode="nearest"), 0, None)
    coarse = np.tanh(1.7 * coarse) ** 1.25 * np.clip((scene.coarse_distance - rng.uniform(3, 7)) / 12, 0, 1)
    share = np.clip(enlarge(coarse, size), 0, None)
    amount = share * (0.68 + who.strands * 0.40 * connective + 0.16 * clouds + 0.05 * weave)
    amount += 0.05 * np.clip(connective, 0, None) * np.clip(scene.distance / 30, 0, 1)
    amount += 0.035 * weave + 0.04 * clouds
    amount = np.logaddexp(0, 18 * (amount + 0.06)) / 18 - 0.06  # nothing absorbs less than fat does
    return amount, clouds + 0.7 * weave


def _projection(scene: Scene, amount: np.ndarray, clutter: np.ndarray) -> np.ndarray:
    """Return the gray values (h, w) of tissue in a compressed breast, with skin, nipple and muscle."""
    rng, outline = scene.rng, scene.outline
    rows, columns = row_positions(scene.size), column_positions(scene.size)
    # Compressed thickness: full inside, rounded off toward the skin; processing evens most of it out.
    rim = np.clip(scene.distance, 0, None)
    full = 1 - np.exp(-rim / (0.16 * scene.who.thickness))
    gray = (0.30 + 0.70 * full) * (0.165 + 0.74 * amount * (0.35 + 0.65 * full))
    gray += rng.uniform(0.08, 0.16) * np.exp(-(((rim - 1.0) / 0.7) ** 2))
    nipple = ((rows - outline.nipple[0]) / 5.5) ** 2 + ((columns - outline.nipple[1] + 1.5) / 4.5) ** 2
    gray += rng.uniform(0.08, 0.25) * np.exp(-(nipple**2))
    if scene.view == "MLO":
        return anatomy.draw_pectoral(rng, gray, clutter, outline, scene.who.height)
    if rng.random() < 0.12:
        sliver = (columns - rng.uniform(2, 6)) + ((rows - rng.normal(0, 10)) / 40) ** 2 * 6
        gray += 0.22 / (1 + np.exp(np.clip(sliver / 1.2, -30, 30)))
    return gray


def _detected(scene: Scene, gray: np.ndarray, vendor: Vendor) -> np.ndarray:
    """Return the displayed gray values in [0, 1]: a little blur, then quantum noise that grows with the signal."""
    gray = ndimage.gaussian_filter(gray, 0.12 * scene.per_mm)
    gray = scene.who.gain * vendor.contrast * gray
    noise = 0.012 * np.sqrt(np.clip(gray, 0.02, 1)) * min(scene.per_mm / 4, 1.2)
    gray = gray + noise * scene.fine.standard_normal(scene.size, np.float32)
    gray = np.clip(1.06 * np.clip(gray, 0, None) ** scene.who.gamma, 0, None)
    # The top of the display rolls off instead of clipping, as a toe and shoulder curve does.
    gray = np.where(gray > 0.75, 0.75 + 0.25 * np.tanh((gray - 0.75) / 0.25), gray)
    return np.clip(gray * np.clip(scene.distance * scene.per_mm + 0.5, 0, 1), 0, 1)


def _stored(shown: np.ndarray, vendor: Vendor) -> tuple[np.ndarray, tuple[Window, ...]]:
    """Return stored values, uint16, and the windows of a vendor, of which the first displays them as `shown`."""
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
    return np.clip(np.rint(stored), 0, 4095).astype(np.uint16), tuple(windows)
