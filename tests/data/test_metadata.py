"""Labels are read from tables of many forms and looked up by the end of a file's path."""

from __future__ import annotations

import os
import re
import shutil
import tracemalloc
from pathlib import Path

import pytest
from dicom_files import HEADER, PIXELS, as_bytes

from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import build
from mammogan.data.ingest import Settings, ingest
from mammogan.data.manifest import Label
from mammogan.data.metadata import Labels, LabelSource, facts_of, is_labels, why_no_labels
from mammogan.errors import ParameterError, Refused, TableError


def test_labels_are_found_by_the_end_of_the_path(tmp_path: Path) -> None:
    rows = "file,view,age\nleft/a.png,CC,50\nright/a.png,MLO,60\nb,CC,70\nc.png,CC,-3\n./d.png,craniocaudal,x\n"
    (tmp_path / "t.csv").write_text(rows)
    labels = Labels([tmp_path / "t.csv"])
    assert labels.get(Path("/any/left/a.png")) == {"view": "CC", "age": 50}
    assert labels.get(Path("/any/right/a.png")) == {"view": "MLO", "age": 60}
    assert labels.get(Path("/any/a.png")) is None  # ambiguous
    assert labels.get(Path("/any/b.dcm")) == {"view": "CC", "age": 70}
    assert labels.get(Path("c.png")) == labels.get(Path("d.png")) == {"view": "CC"}
    with pytest.raises(TableError, match="no column view"):
        Labels([tmp_path / "t.csv"], {"view": "position"})
    with pytest.raises(ParameterError, match="no fact 'size'"):
        Labels([], {"size": "x"})


# The columns of public collections, one row each, and the path of the file that it names.
COLLECTIONS = {
    "RSNA": (
        "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id\n"
        "2,10006,462822612,L,CC,61.0,0,0,0,,0,C,29\n",
        "train_images/10006/462822612.dcm",
        {"view": "CC", "laterality": "L", "age": 61, "density": "C", "patient": "10006"},
    ),
    "VinDr": (
        "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split\n"
        "b8d273,dfa47f,d8125545,R,MLO,3518,2800,BI-RADS 2,DENSITY C,training\n",
        "images/b8d273/d8125545.dicom",
        {"view": "MLO", "laterality": "R", "density": "C", "patient": "b8d273"},
    ),
    "CBIS-DDSM": (
        "patient_id,breast_density,left or right breast,image view,abnormality id,pathology,image file path,"
        "cropped image file path,ROI mask file path\n"
        'P_00001,3,LEFT,CC,1,MALIGNANT,Mass_LEFT_CC/1.3/1.4/000000.dcm,"c/000000.dcm\n","m/000001.dcm\n"\n'
        'P_00002,2,RIGHT,MLO,1,BENIGN,"Mass_RIGHT_MLO/1.3/1.5/000000.dcm\n",c/000000.dcm,m/000001.dcm\n',
        "data/Mass_LEFT_CC/1.3/1.4/000000.dcm",
        {"view": "CC", "laterality": "L", "density": "C", "finding": "malignant", "patient": "P_00001"},
    ),
    "EMBED": (
        ",empi_anon,acc_anon,cohort_num,anon_dicom_path,FinalImageType,ViewPosition,ImageLateralityFinal,tissueden\n"
        "0,60696029,81,1,/mnt/NAS2/mammo/a/60696029/1.2.847.dcm,2D,CC,R,2.0\n",
        "images/cohort_1/60696029/1.2.847.dcm",
        {"view": "CC", "laterality": "R", "density": "B", "patient": "60696029"},
    ),
    "INbreast": (
        "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads\n"
        "removed;removed;L;MLO;200801;22678622;4 ;5\n;;;;;;;\n",
        "AllDICOMs/22678622_61001dc2_MG_L_ML_ANON.dcm",
        {"view": "MLO", "laterality": "L", "density": "D", "patient": "removed"},
    ),
    "CDD-CESM": (
        "Patient_ID,Side,Type,Age,Machine,Image_name,View,Breast density (ACR),BIRADS\n"
        "5, R ,DM,58,1, P5_R_DM_MLO,MLO,b,4\n",
        "P5_R_DM_MLO.jpg",
        {"view": "MLO", "laterality": "R", "age": 58, "density": "B", "patient": "5"},
    ),
    "CSAW-CC": (
        "anon_patientid;exam_year;x_age;viewposition;imagelaterality;anon_filename\n7;2013;55;CC;Left;7_2013_L_CC.dcm\n",
        "7_2013_L_CC.dcm",
        {"view": "CC", "laterality": "L", "age": 55, "patient": "7"},
    ),
}


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_tables_of_public_collections_are_read_without_options(tmp_path: Path, collection: str) -> None:
    content, file, expected = COLLECTIONS[collection]
    table = tmp_path / "t.csv"
    table.write_text(content)
    assert is_labels(table)
    assert Labels([table]).get(Path(file)) == expected
    assert Labels([table]).get(Path("other.dcm")) is None


def test_mias_names_no_view(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("REFNUM,BG,CLASS,SEVERITY,X,Y,RADIUS\nmdb001,G,CIRC,B,535,425,197\n")
    assert not is_labels(table)
    with pytest.raises(TableError, match=r"no column view .*BG, CLASS.*--assume view=MLO"):
        Labels([table])
    assume = {"view": "MLO"}
    assert is_labels(table, LabelSource(assume=assume))
    assert Labels([table], assume=assume).get(Path("mdb001.pgm")) == {"view": "MLO"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("first", ["", "sep=%s\n"])
def test_tables_as_spreadsheets_write_them(tmp_path: Path, separator: str, encoding: str, first: str) -> None:
    lines = first.replace("%s", separator) + "FILE NAME,View Position,Côté\r\nMüller/1.png,mlo,x\r\n"
    table = tmp_path / "t.TSV"
    table.write_bytes(lines.replace(",", separator).replace("\r\n", "\n").encode(encoding))
    assert is_labels(table)
    assert Labels([table]).get(Path("/a/Müller/1.png")) == {"view": "MLO"}


@pytest.mark.parametrize(
    ("header", "row", "path"),
    [
        ("file|view", "a.png|MLO", "a.png"),
        ("FILE,VIEW", "A.PNG,MLO", "in/a.png"),
        ("file,view", "scan/IMG1.tif,MLO", "in/scan/IMG1.png"),
        ("file,view", "1.2.3/000.dcm,MLO", "jpeg/1.2.3/000.jpg"),
        ("image_id,view", "462822612.0,MLO", "462822612.png"),
    ],
)
def test_rows_belong_to_files_of_another_format(tmp_path: Path, header: str, row: str, path: str) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n{row}\n")
    labels = Labels([tmp_path / "t.csv"])
    assert labels.get(Path(path)) == {"view": "MLO"}
    # What a dot separates in a UID is not a suffix.
    assert labels.get(Path("1.2.dcm")) is None


def test_names_that_differ_in_capitals_or_suffix_alone_keep_their_own_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,view\nA.png,CC\na.png,MLO\nb.png,CC\nb.dcm,MLO\nc,CC\nc.tif,MLO\n")
    labels = Labels([tmp_path / "t.csv"])
    for name, view in (
        ("A.png", "CC"),
        ("a.png", "MLO"),
        ("b.png", "CC"),
        ("b.dcm", "MLO"),
        ("c.tif", "MLO"),
        ("c", "CC"),
    ):
        assert labels.get(Path("in", name)) == {"view": view}, name
    assert labels.get(Path("in/b.jpg")) is None  # which of the two is unknown


@pytest.mark.parametrize(
    ("given", "age"), [("061Y", 61), ("61,5", 61.5), ("61 years", 61), ("61y", 61), ("180M", None)]
)
def test_age_however_it_is_written(given: str, age: float | None) -> None:
    assert facts_of({"age": given}).get("age") == age


@pytest.mark.parametrize("given", ["L", "left", "Left breast", "links", "GAUCHE"])
def test_laterality_however_it_is_written(given: str) -> None:
    assert facts_of({"laterality": given}) == {"laterality": "L"}


def test_a_workbook_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(TableError, match="workbook of Excel; save it as CSV"):
        Labels([tmp_path / "t.csv"])


@pytest.mark.parametrize(
    ("given", "density"),
    [
        ("DENSITY C", "C"),
        ("c", "C"),
        ("2.0", "B"),
        ("ACR-D", "D"),
        ("4 ", "D"),
        ("BI-RADS 1", "A"),
        ("2 - scattered", "B"),
        ("5", None),
        ("(D)", "D"),
    ],
)
def test_density_however_it_is_written(given: str, density: str | None) -> None:
    assert facts_of({"density": given}).get("density") == density


def test_a_table_that_is_not_understood_is_reported_with_its_columns(phantoms: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy(phantoms / "0000000.dcm", source)
    (source / "Ada Lovelace.csv").write_text("Bild;Ansicht\na.png;CC\n", encoding="utf-16")
    store = ingest([source], tmp_path / "s", Settings(40, 32))
    row = store.refused.iloc[0]
    assert row["reason"] == "table"
    assert row["sentence"].startswith(
        "The table has no column file and view (it has Bild, Ansicht); name it with --column"
    )
    # The first row of a table without header is data, which may name a patient; and so may the name of the table.
    (source / "Ada Lovelace.csv").write_text("LOVELACE^ADA,a.png,CC\n")
    sentence = ingest([source], tmp_path / "t", Settings(40, 32)).refused["sentence"][0]
    assert "it begins with data" in sentence
    assert not re.search("ada|lovelace", sentence + row["sentence"], re.IGNORECASE)
    # A column that the user names makes it a table of labels.
    columns = {"file": "Bild", "view": "Ansicht"}
    (source / "Ada Lovelace.csv").write_text("Bild;Ansicht\na.png;CC\n")
    assert len(ingest([source], tmp_path / "u", Settings(40, 32), labels=LabelSource(columns=columns)).refused) == 0


def test_facts_of_the_user_count_where_the_header_states_nothing_usable() -> None:
    dataset = build(PIXELS, HEADER)
    label: Label = {"view": "CC", "laterality": "L", "age": 50, "modality": "MG"}
    facts = read_mammogram(as_bytes(dataset), label=label).facts
    assert (facts["view"], facts["laterality"], facts["age"]) == ("MLO", "R", 61)
    dataset.Modality = dataset.ViewPosition = dataset.ImageLaterality = ""
    dataset.ViewCodeSequence, dataset.PatientAge = [], "000Y"
    facts = read_mammogram(as_bytes(dataset), label=label).facts
    assert (facts["view"], facts["laterality"], facts["age"]) == ("CC", "L", 50)
    with pytest.raises(Refused, match="add --assume modality=MG"):
        read_mammogram(as_bytes(dataset), label={"view": "CC"})
    dataset.ImageLaterality, dataset.ViewPosition, dataset.Modality = "B", "NONE", "CT"
    with pytest.raises(Refused, match=r"is CT; that of a mammogram is MG\.$"):
        read_mammogram(as_bytes(dataset), label=label)
    dataset.Modality = "MG"
    facts = read_mammogram(as_bytes(dataset), label=label).facts
    assert (facts["view"], facts["laterality"]) == ("CC", "L")


def test_a_file_of_any_size_without_lines_is_not_a_table(tmp_path: Path) -> None:
    table = tmp_path / "noise.csv"
    table.touch()
    os.truncate(table, 2**28)  # takes no space on the disk
    tracemalloc.start()
    try:
        assert "lines do not end" in why_no_labels(table, LabelSource())
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    with table.open("wb") as file:  # a header, then a line without end
        file.write(b"file,view\n")
        file.truncate(2**28)
    tracemalloc.start()
    try:
        with pytest.raises(TableError, match="cannot be read"):
            Labels([table])
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
