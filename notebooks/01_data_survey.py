# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Data survey: which mammograms are there, and can they be trusted?
#
# The paper counts **322 images in MIAS and 10,239 in DDSM**, 10,561 together, between 1024² and
# about 4096² pixels in size, with lesions that cover on average **0.5 % (calcifications) and
# 1.2 % (masses)** of the image. Every later number stands on these images, so this notebook asks:
#
# 1. How many images are there really, and what are the 10,239?
# 2. How large are the images and the lesions, and of what is the lesion's share a share?
# 3. Does a patient, or a picture, stand on both sides of a split?
# 4. What could not be used, and why?
# 5. Is the breast found on every film?
#
# Nothing is trained here. This is research software, not a medical device.

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder for everything that this run leaves behind
source: str = "phantom"  # where the mammograms come from {phantom | mias | cbis | ddsm | folder}
also: list[str] = []  # further sources, read beside the first {phantom|mias|cbis|ddsm|folder}
data_root: str = ""  # folder of the data sets; empty: $SECOND_LOOK_DATA, then data/
cbis_folder: str = ""  # source cbis: folder of its CSVs and DICOM files, relative to data_root
ddsm_folder: str = ""  # source ddsm: folder of its volumes, relative to data_root
optical_density: bool = False  # source ddsm: grey levels that films of all scanners have in common
table: str = ""  # source folder: its CSV, relative to data_root
columns: dict = {}  # source folder: standard column -> name of the column in the CSV
box_format: str = "rowcol"  # source folder: how the CSV writes boxes {rowcol | xywh}
dataset: str = "folder"  # source folder: name of the data set in tables and figures
pixel_size_mm: float = 0.0  # mm a pixel where the source says nothing; 0: unknown [0, 1]
patients: int = 24  # phantom: patients, four images each [16, 10000]
image_rows: int = 1024  # phantom: height of an image, px [256, 8192]
image_cols: int = 832  # phantom: width of an image, px [208, 8192]
lesion_contrast: float = 1.0  # phantom: contrast of lesions, 1 is hard but learnable [0, 10]
phantom_form: str = "folder"  # {folder|mias|ddsm|cbis_classic|cbis_nbia|cbis_nbia_old|cbis_idc}
phantom_faults: bool = False  # phantom in a cbis_ form: with every known fault of the real files
spacing_mm: float = 0.0  # resample all images to this pixel size, mm; 0: keep their own [0, 1]
val_share: float = 0.2  # share of the patients for validation [0.01, 0.5]
test_share: float = 0.2  # share for the test, where no official test set is given [0, 0.5]
strict: bool = False  # make an error of everything that would go to the quarantine
sheet_images: int = 64  # breast masks to look at on the contact sheet [1, 2000]
seed: int = 0  # of the phantom, the split and the bootstrap [0, 1000000]
workers: int = 2  # local processes that prepare images; 0: none but this one [0, 256]
scheduler: str = ""  # address of a running Dask scheduler; empty: local processes

# %%
from pathlib import Path

from IPython.display import Markdown

from second_look.preparing import views
from second_look.catalogue import split_counts
from second_look.preparing.dataset import (
    DataSettings,
    build_dataset,
    case_descriptions,
    data_locations,
)
from second_look.figures import data_survey as draw
from second_look.figures import style
from second_look.outputs import open_run
from second_look.paper import claim
from second_look.sources.cbis_descriptions import survey_descriptions
from second_look.studies.survey import data_survey as study

style.use_style()
run = open_run(outputs, notebook="01_data_survey")

# %% [markdown]
# ## What are the 10,239 images of DDSM?
#
# The public index of the Imaging Data Commons lists every file of CBIS-DDSM, the curated version
# of DDSM that the paper cites. It comes as a Python package: nothing is downloaded.

# %%
files = study.public_ddsm_files()
run.table(files, "ddsm_files", "The files of CBIS-DDSM by what they show, from the public index.")

# %%
total, whole = int(files["files"].iloc[-1]), int(files["files"].iloc[0])
run.result(
    "data-ddsm", total, n=total, how="files in the public index, counted", figure="ddsm_files",
    verdict=f"differs: {total:,} files, {whole:,} of them mammograms",
)  # fmt: skip
Markdown(
    f"The index holds **{total:,} files**, and the paper counts {claim('data-ddsm').value:,.0f} "
    f"images. But only **{whole:,} of them are mammograms**: each of the {(total - whole) // 2:,} "
    "lesions adds a crop and a mask. The paper's data set is a third of the size that it states."
)

# %% [markdown]
# ## The images of this run
#
# Read, split by patient, cropped to the breast and kept on disk, each once. An interrupted run
# goes on where it stopped.

# %%
settings = DataSettings(
    source=source, also=also, data_root=data_root, cbis_folder=cbis_folder,
    ddsm_folder=ddsm_folder, optical_density=optical_density, table=table, columns=columns,
    box_format=box_format, dataset=dataset, pixel_size_mm=pixel_size_mm, patients=patients,
    image_rows=image_rows, image_cols=image_cols, lesion_contrast=lesion_contrast,
    phantom_form=phantom_form, phantom_faults=phantom_faults, spacing_mm=spacing_mm,
    val_share=val_share, test_share=test_share, seed=seed, strict=strict,
)  # fmt: skip
data = build_dataset(Path(outputs), settings, workers=workers, scheduler=scheduler)
run.uses(*data_locations(settings))
run.made(*data.files)

# %%
run.table(study.counts(data), "counts", "Images, patients, breasts and lesions.")

# %% [markdown]
# The case descriptions of CBIS-DDSM, where they are part of the run, say how many regions, images
# and patients there are, how far the official split leaks when masses and calcifications are
# merged, and which of their rows mislead. An image is a (patient, side, view).

# %%
described = case_descriptions(settings, Path(outputs))
if described is not None:
    run.table(survey_descriptions(described), "descriptions", "What the case descriptions hold.")

# %%
study.report_counts(run, data, files=total, mammograms=whole)
run.figure(
    draw.labels_by_split(split_counts(data.catalogue.images)),
    "labels_by_split",
    f"Images of every label in each split of {data.name}. A patient is in one split only.",
)

# %%
run.table(study.split_table(data), "splits", "Images of every label by split (and patients).")

# %% [markdown]
# ## How large are the images?
#
# The paper gives 1024² to about 4096² and, elsewhere, up to nearly 5000×4000. What counts for a
# network is how many pixels lie on the breast, and how many grey levels a pixel can hold: 16-bit
# films read as 8-bit lose their fine contrast, a common fault in code for these data.

# %%
run.table(study.sizes(data), "sizes", "Size (px) and bit depth of the pictures.")

# %%
images = data.catalogue.images
if "folder" not in (source, *also):  # such pictures may have been reduced
    run.result(
        "size-range", int(images["rows"].max()), low=int(images["rows"].min()),
        high=int(images["rows"].max()), n=len(images), how="height of the images, px: from, to",
        figure="film_sizes", synthetic=data.synthetic,
    )  # fmt: skip
run.figure(
    draw.film_sizes(images),
    "film_sizes",
    "Width and height of the pictures with square pixels; larger dots stand for more pictures.",
)

# %% [markdown]
# ## How small are the lesions?
#
# The paper's 0.5 % and 1.2 % are shares "of the overall image on average". Measured here against
# that, the whole film, and against the part of it that is breast. The outline of a lesion is its
# mask, or its circle in mini-MIAS, which encloses the lesion and so overstates it.

# %%
areas = study.lesion_areas(data)
estimates = study.area_estimates(areas, seed=seed)
run.table(estimates, "lesion_areas", "Mean lesion area in %, with 95 % intervals over patients.")

# %%
paper_percent = {kind: claim(name).value for kind, name in study.AREA_CLAIMS.items()}
if len(areas):
    run.figure(
        draw.lesion_area_shares(areas, estimates, paper_percent),
        "lesion_areas",
        "Lesion areas: median, quartiles and 5th to 95th percentile; dots are means with 95 % "
        "intervals over patients, dashed lines the paper's means.",
    )

# %%
study.report_areas(run, estimates, data)

# %% [markdown]
# ## What kinds of lesions, in what kinds of breasts?

# %%
run.figure(
    draw.composition(
        [
            ("breast density, images", study.labels_by(data, "density")),
            ("view, images", study.labels_by(data, "view")),
            ("pathology, lesions", study.kinds_by_pathology(data)),
        ]
    ),
    "composition",
    "Images by label against density and view, and lesions by kind against pathology. Density "
    "as the source writes it: BI-RADS 1 to 4; mini-MIAS: F fatty, G fatty-glandular, D dense.",
)

# %%
chosen = views.choose_examples(data.catalogue.images, per_label=4, seed=seed)
pictures = [views.original_view(data, image_id, 480) for image_id in chosen["image_id"]]
run.figure(
    draw.examples(pictures, columns=4),
    "examples",
    "Examples drawn at random, label by label, with breast mask and outlined lesions.",
)

# %% [markdown]
# ## Does anything leak between the splits?
#
# Two images of one woman resemble each other, so a patient on both sides of a split lets a model
# recognise instead of diagnose. The check goes by patient, and by content: the same picture can
# stand under two names.

# %%
run.table(study.leak_checks(data), "leaks", "What was looked for between the splits.")

# %%
run.table(data.duplicates, "duplicates", "Pictures that stand under two names.")

# %% [markdown]
# ## What could not be used?
#
# Nothing is dropped in silence. An image or lesion that is unreadable, has no label or no usable
# location goes to the quarantine with file and reason.

# %%
run.table(study.quarantine_summary(data), "quarantine", "The quarantine by effect and reason.")

# %% [markdown]
# ## Is the breast found on every film?
#
# Labels, tape and scratches lie beside the breast, and a model will use them if it can. The yellow
# line is where this project believes the breast to be. A quarter of the films below have the
# smallest masks, a quarter the largest, where an error would show first; the rest are random.

# %%
sheet = views.choose_masks_to_look_at(data, count=sheet_images, seed=seed)
pictures = [views.original_view(data, image_id, 200) for image_id in sheet["image_id"]]
run.figure(
    draw.mask_contact_sheet(pictures),
    "mask_contact_sheet",
    f"Breast masks on {len(sheet)} of {len(data.prepared.images)} films, from the smallest share "
    f"of the film ({sheet['breast_share'].min():.0%}) to the largest "
    f"({sheet['breast_share'].max():.0%}).",
)

# %% [markdown]
# ## What was found, and what it does not mean

# %%
Markdown(study.findings(data, estimates, paper_percent))

# %% [markdown]
# **Limits.** Lesion areas rest on the outlines that each data set gives: radiologists' masks for
# CBIS-DDSM, enclosing circles for mini-MIAS, exact ones for phantoms. Synthetic phantoms test the
# pipeline and say nothing about patients. A content check finds copies of a picture, not two films
# of one breast; that is what the patient check is for, and it trusts the data set's patient ids.
