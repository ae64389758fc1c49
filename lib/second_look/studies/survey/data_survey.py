"""The numbers of notebook 01: images, lesions, splits and quarantine."""

from __future__ import annotations

import idc_index_data
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from second_look.catalogue import KINDS, LABELS, SPLITS, patient_keys
from second_look.evaluation.intervals import bootstrap_mean, in_words
from second_look.outputs import Run
from second_look.preparing.dataset import Dataset
from second_look.quarantine import Code


def public_ddsm_files() -> pd.DataFrame:
    """The files of CBIS-DDSM by what they show, from the public index; nothing is downloaded.

    A series is a whole mammogram if its PatientID ends with the view (…_LEFT_CC, or …_LEFT_CC.dcm,
    as 246 do), and belongs to a lesion if a number follows (…_LEFT_CC_1). A lesion has one crop and
    one mask. A mammogram with masses and calcifications has a file for either
    (Mass-Training_P_00001_LEFT_CC, Calc-Test_P_00001_LEFT_CC), but is one image.

    Returns:
        One row per kind of file and a total: content, series, files, mammograms (how many the files
        belong to), gigabytes.
    """
    index = pq.read_table(
        idc_index_data.IDC_INDEX_PARQUET_FILEPATH,
        columns=["PatientID", "instanceCount", "series_size_MB"],
        filters=[("collection_id", "=", "cbis_ddsm")],
    ).to_pandas()
    is_mammogram = index["PatientID"].str.contains(r"_(?:CC|MLO)(?:\.dcm)?$")
    mammogram = index["PatientID"].str.extract(r"(P_\d+_(?:LEFT|RIGHT)_(?:CC|MLO))", expand=False)
    rows = []
    for content, part in (
        ("whole mammograms", index[is_mammogram]),
        ("crops and masks of lesions", index[~is_mammogram]),
        ("all files", index),
    ):
        files = int(part["instanceCount"].sum())
        images = mammogram[part.index].nunique()
        rows.append((content, len(part), files, images, part["series_size_MB"].sum() / 1000))
    return pd.DataFrame(rows, columns=["content", "series", "files", "mammograms", "gigabytes"])


def counts(dataset: Dataset) -> pd.DataFrame:
    """Images, patients, breasts and lesions by data set: dataset, quantity, count."""
    images = dataset.catalogue.images
    lesions = dataset.prepared.lesions.merge(images[["image_id", "dataset"]], on="image_id")
    rows = []
    for name, part in images.groupby("dataset"):
        breasts = part[["patient_id", "laterality"]].drop_duplicates()
        dataset_lesions = lesions[lesions["dataset"] == name]
        unlocated = dataset_lesions.loc[dataset_lesions["code"] == 0, "image_id"]
        rows += [
            (name, "images", len(part)),
            (name, "patients", part["patient_id"].nunique()),
            (name, "breasts", len(breasts)),
            (name, "lesions", len(dataset_lesions)),
            (name, "lesions without a location", len(unlocated)),
            (name, "images with such a lesion: no normal windows", unlocated.nunique()),
        ]
    return pd.DataFrame(rows, columns=["dataset", "quantity", "count"])


def with_depths(dataset: Dataset) -> pd.DataFrame:
    """The images of the catalogue that were prepared, with the bits that count for them."""
    bits = dataset.prepared.images.set_index("image_id")["bits"]
    images = dataset.catalogue.images
    images = images[images["image_id"].isin(bits.index)]
    return images.assign(bits=images["image_id"].map(bits))


def sizes(dataset: Dataset) -> pd.DataFrame:
    """Images by size and depth: dataset, rows and cols (min, median, max, px), bits, images."""
    grouped = with_depths(dataset).groupby(["dataset", "bits"])
    table = grouped.agg(
        images=("image_id", "size"),
        rows_min=("rows", "min"),
        rows_median=("rows", "median"),
        rows_max=("rows", "max"),
        cols_min=("cols", "min"),
        cols_median=("cols", "median"),
        cols_max=("cols", "max"),
    )
    return table.reset_index()


def lesion_areas(dataset: Dataset) -> pd.DataFrame:
    """Every located lesion with its area as a share of the image and of the breast, 0 to 1.

    Column `outlined`: whether the source gives its edge, and not only a circle or a box around it.
    """
    measured = dataset.prepared.lesions[dataset.prepared.lesions["code"] > 0]
    lesions = dataset.catalogue.lesions[["lesion_id", "kind", "pathology"]]
    lesions = lesions.assign(outlined=dataset.catalogue.lesions["mask_path"] != "")
    images = dataset.catalogue.images[["image_id", "patient_id", "dataset"]]
    columns = ["lesion_id", "image_id", "area_px", "share_of_image", "share_of_breast"]
    return measured[columns].merge(lesions, on="lesion_id").merge(images, on="image_id")


def area_estimates(areas: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Mean lesion area by kind and denominator, with intervals over patients, in percent.

    Returns:
        kind, share_of, mean, low, high, median (all %), lesions, patients.
    """
    rows = []
    for kind in KINDS:
        part = areas[areas["kind"] == kind]
        if part.empty:
            continue
        for share_of in ("image", "breast"):
            values = 100 * part[f"share_of_{share_of}"]
            mean = bootstrap_mean(values, patient_keys(part), seed=seed)
            rows.append(
                {
                    "kind": kind,
                    "share_of": share_of,
                    "mean": mean.value,
                    "low": mean.low,
                    "high": mean.high,
                    "median": values.median(),
                    "lesions": mean.n,
                    "patients": mean.patients,
                }
            )
    columns = ["kind", "share_of", "mean", "low", "high", "median", "lesions", "patients"]
    return pd.DataFrame(rows, columns=columns)


def labels_by(dataset: Dataset, column: str) -> pd.DataFrame:
    """Images by label (rows) and another column of the image table (columns), counts."""
    images = dataset.catalogue.images
    values = images[column].replace("", "not given")
    return pd.crosstab(images["label"], values).reindex(LABELS, fill_value=0)


def kinds_by_pathology(dataset: Dataset) -> pd.DataFrame:
    """Lesions by kind (rows, only kinds that occur) and pathology (columns), counts."""
    lesions = dataset.catalogue.lesions
    table = pd.crosstab(lesions["kind"], lesions["pathology"])
    kinds = [kind for kind in KINDS if kind in table.index]
    return table.reindex(index=kinds, columns=LABELS[1:], fill_value=0)


def leak_checks(dataset: Dataset) -> pd.DataFrame:
    """Checks for leaks between the splits and how many cases each found: check, count."""
    images, quarantine = dataset.catalogue.images, dataset.catalogue.quarantine
    splits = images.groupby(["dataset", "patient_id"])["split"].nunique()
    split_of = images.set_index("image_id")["split"]
    duplicates = dataset.duplicates
    split_a = split_of.reindex(duplicates["image_a"]).to_numpy()
    split_b = split_of.reindex(duplicates["image_b"]).to_numpy()
    official = _excluded_for_official_test(quarantine)
    return pd.DataFrame(
        [
            ("patients in more than one split", int((splits > 1).sum())),
            ("training images excluded: patient is in the official test set", len(official)),
            ("pairs of identical images", int((duplicates["how"] == "identical").sum())),
            ("pairs of nearly identical images", int((duplicates["how"] == "near").sum())),
            ("of these pairs, in different splits", int(np.count_nonzero(split_a != split_b))),
        ],
        columns=["check", "count"],
    )


def _excluded_for_official_test(quarantine: pd.DataFrame) -> pd.DataFrame:
    """The training images that were excluded because their patient is in the official test set."""
    return quarantine[quarantine["code"] == Code.PATIENT_IN_TEST_SET]


def split_table(dataset: Dataset) -> pd.DataFrame:
    """Images (and patients) of every label in each split, as text."""
    images = dataset.catalogue.images
    cells = (
        images.assign(patient=patient_keys(images))
        .groupby(["label", "split"])
        .agg(images=("image_id", "size"), patients=("patient", "nunique"))
    )
    text = cells["images"].astype(str) + " (" + cells["patients"].astype(str) + ")"
    table = text.unstack("split").reindex(index=LABELS, columns=SPLITS)
    return table.fillna("0 (0)").rename_axis(columns=None).reset_index()


def quarantine_summary(dataset: Dataset) -> pd.DataFrame:
    """The quarantine by effect and code.

    Returns:
        effect, code, reason (in general, and that of the first item if they differ), items,
        examples (up to six ids).
    """
    table = dataset.catalogue.quarantine
    items = table["lesion_id"].where(table["lesion_id"] != "", table["image_id"])
    items = items.where(items != "", table["file"])
    grouped = table.assign(item=items).groupby(["effect", "code"], sort=True)
    summary = grouped.agg(
        reason=("reason", "first"),
        reasons=("reason", "nunique"),
        items=("item", "size"),
        examples=("item", lambda ids: ", ".join(ids[:6])),
    ).reset_index()
    texts = summary["code"].map({code.value: code.text for code in Code})
    summary["reason"] = summary["reason"].where(
        summary.pop("reasons") == 1, texts + ", such as: " + summary["reason"]
    )
    return summary


def report_counts(run: Run, dataset: Dataset, *, files: int, mammograms: int) -> None:
    """Record the number of images of mini-MIAS beside the paper's, if they are part of the run.

    Args:
        run: Of the notebook.
        dataset: The data set.
        files: Number of files of DDSM, as the paper counts them.
        mammograms: Number of mammograms that they show.
    """
    images = int((dataset.catalogue.images["dataset"] == "mias").sum())
    if not images:
        return
    run.result("data-mias", images, n=images, how="images counted in the archive")
    run.result(
        "data-total",
        images + files,
        n=images + files,
        how="MIAS images + DDSM files",
        verdict=f"differs: they show {images + mammograms:,} mammograms",
    )


def _label_findings(dataset: Dataset) -> list[str]:
    """What the labels of this run do not know, a line each."""
    lesions, quarantine = dataset.prepared.lesions, dataset.catalogue.quarantine
    unlocated = set(lesions.loc[lesions["code"] == 0, "image_id"])
    lines = []
    if unlocated:
        images = dataset.catalogue.images.set_index("image_id")
        tested = int((images.loc[sorted(unlocated), "split"] == "test").sum())
        lines.append(
            f"- {len(unlocated):,} images ({tested:,} of them in test) have a lesion without a "
            "location: it counts for the label of the image, and none of the image's windows "
            "counts as normal."
        )
    uncertain = quarantine[quarantine["effect"] == "kept, label uncertain"]
    lines += [f"- **Labels may be incomplete:** {text}." for text in uncertain["reason"].unique()]
    return lines


def findings(dataset: Dataset, estimates: pd.DataFrame, paper_percent: dict[str, float]) -> str:
    """The findings of notebook 01 as Markdown, with the numbers of this run.

    Args:
        dataset: The data set.
        estimates: Of `area_estimates`.
        paper_percent: Kind of lesion -> the paper's mean area, %.
    """
    images, quarantine = dataset.catalogue.images, dataset.catalogue.quarantine
    lines = [
        f"- {len(images):,} images of {patient_keys(images).nunique():,} patients could be used; "
        f"{len(quarantine):,} items are in the quarantine."
    ]
    leaking = _excluded_for_official_test(quarantine)
    if len(leaking):
        patients = leaking["reason"].nunique()  # it names the patient
        lines.append(
            f"- The official split leaks: {len(leaking):,} images of {patients:,} "
            f"patient{'s' if patients > 1 else ''} were excluded from training because the test "
            f"set has images of {'them' if patients > 1 else 'that patient'} too."
        )
    lines += _label_findings(dataset)
    for row in estimates[estimates["share_of"] == "image"].itertuples():
        if row.kind not in paper_percent:
            continue
        paper = paper_percent[row.kind]
        of_breast = estimates[(estimates["kind"] == row.kind) & (estimates["share_of"] == "breast")]
        lines.append(
            f"- On average, a {row.kind} covers {in_words(row.mean, row.low, row.high, '.2f')} % "
            f"of the image (the paper: {paper:g} %) and {of_breast['mean'].iloc[0]:.2f} % of the "
            f"breast. Half of them cover less than {row.median:.2f} % of the image."
        )
    if estimates.empty:
        lines.append("- No lesion has a usable location, so no area could be measured.")
    if dataset.synthetic:
        lines.append(
            "- **These images are phantoms.** Their lesions were given areas like the paper's, so "
            "agreement shows that the pipeline measures these areas correctly, and nothing else."
        )
    return "\n".join(lines)
