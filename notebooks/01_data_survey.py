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
# The paper counts **322 images in MIAS and 10,239 in DDSM**, 10,561 in all, between 1024² and
# about 4096² pixels in size, with lesions that cover on average **0.5 % (calcifications) and
# 1.2 % (masses)** of the image. Every later number rests on these images, so this notebook asks:
#
# 1. How many images are there, and what are the 10,239?
# 2. How large are the images and the lesions, and what is a lesion's area a share of?
# 3. Is any patient, or any image, in more than one split?
# 4. What could not be used, and why?
# 5. Is the breast found correctly in every image?
#
# Nothing is trained here. This is research software, not a medical device.

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder for everything that this run writes
source: str = "phantom"  # where the mammograms come from {phantom | mias | cbis | ddsm | folder}
also: list[str] = []  # more sources to read with the first {phantom|mias|cbis|ddsm|folder}
data_root: str = ""  # folder of the data sets; empty: $SECOND_LOOK_DATA, then data/
cbis_folder: str = ""  # source cbis: folder of its CSVs and DICOM files, relative to data_root
ddsm_folder: str = ""  # source ddsm: folder of its volumes, relative to data_root
ddsm_cases: str = ""  # cbis with ddsm: CSV with columns cbis (patient) and ddsm (case)
optical_density: bool = False  # source ddsm: convert all scanners' grey levels to optical density
table: str = ""  # source folder: its CSV, relative to data_root
columns: dict = {}  # source folder: standard column -> name of the column in the CSV
labels: dict = {}  # source folder: label as the CSV spells it -> standard label
table_form: str = "table"  # source folder: {table | coco | voc | inbreast | cesm | cmmd}
box_format: str = "rowcol"  # source folder: how the CSV writes boxes {rowcol | xywh | xyxy}
bits: int = 0  # source folder: bits used in 16-bit PNG and TIFF files; 0: by their values [0, 16]
photometric: str = "MONOCHROME2"  # source folder: 1 if 0 is white {MONOCHROME1 | MONOCHROME2}
max_lost: float = 0.1  # source folder: largest share of images that may be left out [0, 1]
dataset: str = "folder"  # source folder: name of the data set in tables and figures
cbis_descriptions: str = ""  # source folder: folder of CBIS-DDSM's four CSVs, which complete labels
pixel_size_mm: float = 0.0  # mm per pixel where the source does not give it; 0: unknown [0, 1]
patients: int = 72  # phantom: patients, four images each [16, 10000]
image_rows: int = 512  # phantom: height of an image, px [256, 8192]
image_cols: int = 416  # phantom: width of an image, px [208, 8192]
lesion_contrast: float = 2.0  # phantom: contrast of lesions; 1 is hard but learnable [0, 10]
phantom_form: str = "folder"  # {folder|digital|mias|ddsm|cbis_classic|cbis_nbia|cbis_old|cbis_idc}
phantom_faults: bool = False  # phantom in a cbis_ form: with every known fault of the real files
spacing_mm: float = 0.0  # resample all images to this pixel size, mm; 0: do not resample [0, 1]
val_share: float = 0.2  # share of patients for validation [0.01, 0.5]
test_share: float = 0.35  # share of patients for test, if there is no official test set [0, 0.5]
strict: bool = False  # raise an error instead of putting items in the quarantine
sheet_images: int = 64  # breast masks on the contact sheet [1, 2000]
seed: int = 0  # of the phantom, the split and the bootstrap [0, 1000000]
workers: int = 2  # local processes that prepare images; 0: this process alone [0, 256]
scheduler: str = ""  # address of a running Dask scheduler; empty: local processes
scheduler_tls: str = ""  # folder with ca.pem, cert.pem, key.pem, for an address tls://…

# %%
from pathlib import Path

from IPython.display import Markdown

from second_look.catalogue import split_counts
from second_look.figures import cohort as cohort_figures
from second_look.figures import data_survey as survey_figures
from second_look.figures import style
from second_look.outputs import open_run
from second_look.claims import claim
from second_look.preparing import views
from second_look.preparing.dataset import build_dataset
from second_look.preparing.reading import DataSettings, case_descriptions, data_locations
from second_look.running.parameters import check_parameters
from second_look.sources.cbis_descriptions import survey_descriptions
from second_look.studies.survey import cohort, data_survey, survey_claims, walkthrough

# %%
check_parameters("01_data_survey", globals())
style.use_style()
run = open_run(outputs, notebook="01_data_survey")

# %% [markdown]
# ## What are the 10,239 images of DDSM?
#
# The public index of the Imaging Data Commons lists every file of CBIS-DDSM, the curated version
# of DDSM that the paper cites. The index comes as a Python package, so nothing is downloaded.

# %%
ddsm_files = data_survey.public_ddsm_files()
run.table(ddsm_files, "ddsm_files", "The files of CBIS-DDSM by content, from the public index.")

# %%
total, mammograms = int(ddsm_files["files"].iloc[-1]), int(ddsm_files["mammograms"].iloc[0])
mammogram_files = int(ddsm_files["files"].iloc[0])
run.result(
    "data-ddsm", total, n=total, how="files counted in the public index", figure="ddsm_files",
    verdict=f"differs: {total:,} files of {mammograms:,} mammograms",
)  # fmt: skip
Markdown(
    f"The index holds **{total:,} files**; the paper counts {claim('data-ddsm').value:,.0f} "
    f"images. But they show only **{mammograms:,} mammograms**: each of the "
    f"{(total - mammogram_files) // 2:,} lesions adds a crop and a mask, and "
    f"{mammogram_files - mammograms} mammograms with masses and calcifications are there twice. "
    "The paper's data set is less than a third of the size that it states."
)

# %% [markdown]
# ## The images of this run
#
# Each image is read once, assigned to a split by patient, cropped to the breast and stored on
# disk. An interrupted run resumes where it stopped.

# %%
settings = DataSettings(
    source=source, also=also, data_root=data_root, cbis_folder=cbis_folder,
    ddsm_folder=ddsm_folder, ddsm_cases=ddsm_cases, optical_density=optical_density,
    table=table, table_form=table_form, columns=columns, labels=labels, max_lost=max_lost,
    bits=bits, photometric=photometric, cbis_descriptions=cbis_descriptions,
    box_format=box_format, dataset=dataset, pixel_size_mm=pixel_size_mm, patients=patients,
    image_rows=image_rows, image_cols=image_cols, lesion_contrast=lesion_contrast,
    phantom_form=phantom_form, phantom_faults=phantom_faults, spacing_mm=spacing_mm,
    val_share=val_share, test_share=test_share, seed=seed, strict=strict,
)  # fmt: skip
data = build_dataset(
    Path(outputs), settings, workers=workers, scheduler=scheduler, scheduler_tls=scheduler_tls
)
run.uses(*data_locations(settings))
run.wrote(*data.written)

# %% [markdown]
# ## One mammogram, step by step
#
# What the code does with every image, shown on one: the file is read, the breast found and cut out,
# and its lesions become a map of the same size. Beside it, the image's row in the catalogue, from
# which every later number takes its label, patient and split.

# %%
example_id = walkthrough.example(data)
run.table(walkthrough.reading(data, example_id), "example", f"{example_id}: from file to input.")
run.table(
    walkthrough.catalogue_row(data, example_id), "example_row",
    f"The row of {example_id} in the catalogue.",
)  # fmt: skip

# %% [markdown]
# ## How many images are there?

# %%
run.table(data_survey.counts(data), "counts", "Images, patients, breasts and lesions.")

# %% [markdown]
# If CBIS-DDSM is part of the run, its case descriptions give the number of regions, images and
# patients, show how the official split leaks when masses and calcifications are merged, and list
# the rows that mislead. An image is a (patient, side, view).

# %%
descriptions = case_descriptions(settings, Path(outputs))
if descriptions is not None:
    summary = survey_descriptions(descriptions)
    run.table(summary, "descriptions", "Contents of the case descriptions.")

# %%
data_survey.report_counts(run, data, files=total, mammograms=mammograms)
survey_claims.report_negatives(run, data)
run.figure(
    survey_figures.labels_by_split(split_counts(data.catalogue.images)),
    "labels_by_split",
    f"Images of every label in each split of {data.name}. A patient is in one split only.",
)

# %%
run.table(data_survey.split_table(data), "splits", "Images (patients) by label and split.")

# %% [markdown]
# ## Whose images are these?
#
# The questions that a medical journal asks before any result (STARD-AI, TRIPOD+AI, CLAIM): who was
# included and who was not, how the splits compare, what the labels rest on, and what so many
# patients can show.

# %% tags=["answer"]
patient_flow = cohort.flow(data)
run.table(patient_flow, "flow", "Images and patients from the source to the splits.")
run.figure(
    cohort_figures.flow(patient_flow),
    "flow",
    "From the source to the splits. Images that cannot be read do not say whose they are.",
)

# %%
run.table(
    cohort.baseline(data), "baseline",
    "Images and lesions by split: counts (share of the split), or median [quartiles].",
)  # fmt: skip

# %%
run.table(
    cohort.reference_standards(data), "reference_standards",
    "What the labels and outlines of each data set rest on.",
)  # fmt: skip

# %%
expected, statement = cohort.expected_precision(data)
run.table(
    expected, "expected_intervals",
    "The 95 % intervals to expect from the test patients, malignant or not, before anything is "
    "measured: with one image a patient; several images narrow them somewhat.",
)  # fmt: skip
Markdown(statement)

# %%
run.table(
    cohort.later_notebooks(data), "later_notebooks",
    "What the other notebooks can do with these images.",
)  # fmt: skip

# %% [markdown]
# ## How large are the images?
#
# The paper gives 1024² to about 4096² and, elsewhere, up to nearly 5000×4000. What matters to a
# network is how many pixels lie on the breast, and how many grey levels a pixel can hold: 16-bit
# images read as 8-bit lose their fine contrast, a common bug in code for these data sets.

# %%
run.table(data_survey.sizes(data), "sizes", "Size (px) and bit depth of the images.")

# %%
images = data_survey.with_depths(data)
if "folder" not in (source, *also):  # images in a user's folder may have been downsampled
    survey_claims.report_sizes(run, data)
run.figure(
    survey_figures.film_sizes(images),
    "film_sizes",
    "Width and height of the images with square pixels; a larger dot stands for more images.",
)

# %% [markdown]
# ## How small are the lesions?
#
# The paper's 0.5 % and 1.2 % are shares "of the overall image on average". Here the area is
# measured as a share of the whole image and as a share of the breast. The outline of a lesion is
# its mask; in mini-MIAS it is a circle around the lesion, which overstates the area, so that only
# masks judge the paper's means.

# %%
areas = data_survey.lesion_areas(data)
estimates = data_survey.area_estimates(areas, seed=seed)
run.table(estimates, "lesion_areas", "Mean lesion area in %, with 95 % intervals over patients.")

# %%
paper_percent = {kind: claim(name).value for kind, name in survey_claims.AREA_CLAIMS.items()}
if len(areas):
    run.figure(
        survey_figures.lesion_area_shares(areas, estimates, paper_percent),
        "lesion_areas",
        "Lesion areas: median, quartiles, and 5th to 95th percentile; dots are means with 95 % "
        "intervals over patients, dashed lines the paper's means.",
    )

# %%
survey_claims.report_areas(run, areas, data, seed=seed)

# %% [markdown]
# ## Which kinds of lesions, in which kinds of breasts?

# %%
run.figure(
    survey_figures.composition(
        [
            ("breast density, images", data_survey.labels_by(data, "density")),
            ("view, images", data_survey.labels_by(data, "view")),
            ("pathology, lesions", data_survey.kinds_by_pathology(data)),
        ]
    ),
    "composition",
    "Images by label against density and view, and lesions by kind against pathology. Density "
    "as the source codes it: BI-RADS 1 to 4; mini-MIAS: F fatty, G fatty-glandular, D dense.",
)

# %%
examples = views.choose_examples(data.catalogue.images, per_label=4, seed=seed)
example_views = [views.original_view(data, image_id, 480) for image_id in examples["image_id"]]
run.figure(
    survey_figures.examples(example_views, columns=4),
    "examples",
    "Random examples of each label, with breast mask and outlined lesions.",
)

# %% [markdown]
# ## Does anything leak between the splits?
#
# Two images of the same patient resemble each other, so if a patient is in both training and test
# set, a model can recognise the patient instead of diagnosing. The check compares patient ids, and
# also the images themselves, because the same image can appear under two names.

# %%
run.table(data_survey.leak_checks(data), "leaks", "Checks for leaks between the splits.")

# %%
run.table(
    data.duplicates, "duplicates", "Images that appear under two names.",
    empty="No image appears under two names.",
)  # fmt: skip

# %% [markdown]
# ## What could not be used?
#
# Nothing is dropped silently. An image or lesion that is unreadable or has no label or no usable
# location goes to the quarantine, with its file and the reason.

# %%
run.table(
    data_survey.quarantine_summary(data), "quarantine", "The quarantine by effect and code.",
    empty="Nothing is in quarantine: every image and lesion could be used.",
)  # fmt: skip

# %% [markdown]
# ## Is the breast found correctly in every image?
#
# Labels, tape and scratches lie outside the breast, and a model will use them if it can. The yellow
# line is the outline of the breast mask. A quarter of the images below have the smallest masks and
# a quarter the largest, where errors are most likely; the others are random.

# %%
sheet = views.choose_masks_to_look_at(data, count=sheet_images, seed=seed)
sheet_views = [views.original_view(data, image_id, 200) for image_id in sheet["image_id"]]
run.figure(
    survey_figures.mask_contact_sheet(sheet_views),
    "mask_contact_sheet",
    f"Breast masks of {len(sheet)} of {len(data.prepared.images)} images, from the smallest share "
    f"of the image ({sheet['breast_share'].min():.0%}) to the largest "
    f"({sheet['breast_share'].max():.0%}).",
)

# %% [markdown]
# ## What was found, and what it does not mean

# %% tags=["answer"]
Markdown(data_survey.findings(data, estimates, paper_percent))

# %% [markdown]
# **Limits.** Lesion areas depend on the outlines that each data set provides: radiologists' masks
# for CBIS-DDSM, enclosing circles for mini-MIAS, exact masks for phantoms. Phantoms test the
# pipeline and say nothing about patients. Comparing images finds copies of an image, not two images
# of the same breast; for those there is the patient check, which trusts the data set's patient ids.
