"""Phantoms: what is drawn is what was planned, and what the readers find is what was planted."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from second_look.catalogue import LABELS
from second_look.decoding.masks import read_mask
from second_look.decoding.pixels import read_pixels
from second_look.errors import DataError
from second_look.geometry import Box
from second_look.phantoms import files as phantom_files
from second_look.phantoms.files import (
    mias_circle_of,
    write_folder_layout,
    write_mias_layout,
)
from second_look.phantoms.forms import read_phantom
from second_look.phantoms.phantom import (
    PhantomImage,
    PhantomSettings,
    PlannedBreast,
    draw_image,
    plan_patient,
    power_law_noise,
)
from second_look.sources.mias import read_mias
from sklearn.metrics import roc_auc_score

# Its seed gives every class, both kinds, and breasts with two lesions of different pathology.
SMALL = PhantomSettings(patients=6, rows=256, cols=208, seed=8)
MANY = PhantomSettings(patients=200, rows=256, cols=208, seed=5)
PAPER_AREA = {"mass": 0.012, "calcification": 0.005}  # mean share of the whole image


def breasts_of(settings: PhantomSettings) -> list[PlannedBreast]:
    return [
        breast for patient in range(settings.patients) for breast in plan_patient(settings, patient)
    ]


@cache
def one_of_many(breast: PlannedBreast, view: str) -> PhantomImage:
    """An image of MANY; several tests look at the first of them."""
    return draw_image(MANY, breast, view)


def image_named(settings: PhantomSettings, image_id: str) -> PhantomImage:
    """The image that an id such as p0003_L_MLO stands for, drawn anew."""
    patient, side, view = image_id.split("_")
    breast = plan_patient(settings, int(patient[1:]))["RL".index(side)]
    return draw_image(settings, breast, view)


def power_slope(picture: np.ndarray) -> float:
    """Minus the slope of log power against log frequency, of a square picture."""
    side = picture.shape[0]
    taper = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.fft2((picture - picture.mean()) * taper)) ** 2
    frequency = np.fft.fftfreq(side) * side
    ring = np.rint(np.hypot(frequency[:, None], frequency[None, :])).astype(int)
    radial = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    used = np.arange(6, side // 4)
    return float(-np.polyfit(np.log(used), np.log(radial[used]), 1)[0])


def depth_of(breast: np.ndarray) -> np.ndarray:
    """Distance to the skin, px; the chest wall is no skin."""
    padded = np.pad(breast, ((1, 1), (0, 0)))
    return distance_transform_edt(np.pad(padded, ((0, 0), (1, 1)), mode="edge"))[1:-1, 1:-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phantom")


class TestDrawing:
    def test_the_same_seed_draws_the_same_in_any_order(self):
        jobs = [(breast, view) for breast in breasts_of(SMALL) for view in ("CC", "MLO")]
        first = [draw_image(SMALL, *job).pixels for job in jobs]
        backwards = [draw_image(SMALL, *job).pixels for job in reversed(jobs)][::-1]
        assert all(np.array_equal(a, b) for a, b in zip(first, backwards, strict=True))
        assert len({pixels.tobytes() for pixels in first}) == len(jobs)

    def test_another_seed_draws_something_else(self):
        other_seed = replace(SMALL, seed=4)
        pictures = [draw_image(s, plan_patient(s, 0)[0], "CC").pixels for s in (SMALL, other_seed)]
        assert not np.array_equal(*pictures)

    def test_contrast_changes_the_lesions_alone(self):
        breast = next(breast for breast in breasts_of(SMALL) if breast.lesions)
        hidden, visible = (
            draw_image(replace(SMALL, lesion_contrast=contrast), breast, "CC")
            for contrast in (0.0, 1.0)
        )
        changed = hidden.pixels != visible.pixels
        covered = np.any([lesion.mask for lesion in visible.lesions], axis=0)
        assert changed[covered].mean() > 0.5
        # Spicules and halos leave the outline, but not further than its own size.
        assert not changed[distance_transform_edt(~covered) > 2.2 * np.sqrt(covered.sum())].any()

    @pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (12, np.uint16), (16, np.uint16)])
    def test_grey_levels_fit_the_bits(self, bits, dtype):
        settings = replace(SMALL, bits=bits)
        pixels = draw_image(settings, plan_patient(settings, 0)[0], "MLO").pixels
        assert pixels.dtype == dtype
        assert pixels.shape == (256, 208)
        assert 2 ** (bits - 1) < pixels.max() < 2**bits

    @pytest.mark.parametrize(
        ("rows", "cols"), [(1024, 832), pytest.param(4096, 3328, marks=pytest.mark.slow)]
    )
    def test_large_images_use_the_depth_they_claim(self, rows, cols):
        settings = PhantomSettings(patients=1, rows=rows, cols=cols, seed=0)
        pixels = draw_image(settings, plan_patient(settings, 0)[1], "MLO").pixels
        assert pixels.shape == (rows, cols)
        assert np.unique(pixels).size > 2**12

    def test_the_breast_touches_the_side_of_its_chest_wall_only(self):
        for breast in breasts_of(SMALL):
            mask = draw_image(SMALL, breast, "CC").breast
            wall, opposite = (0, -1) if breast.laterality == "L" else (-1, 0)
            assert mask[:, wall].mean() > 0.4
            assert not mask[:, opposite].any()
            assert 0.1 < mask.mean() < 0.6

    def test_only_the_oblique_view_has_a_pectoral_muscle(self):
        """The upper corner at the chest wall against the same depth further down."""
        excess = {"CC": [], "MLO": []}
        for breast in breasts_of(MANY)[:60]:
            for view, differences in excess.items():
                image = one_of_many(breast, view)
                flip = slice(None) if breast.laterality == "L" else slice(None, None, -1)
                grey = image.pixels[:, flip] / 65535
                rows = np.flatnonzero(image.breast[:, flip][:, 10])
                upper, lower = np.quantile(rows, [0.15, 0.85]).astype(int)
                differences.append(
                    grey[upper - 8 : upper + 8, 4:16].mean()
                    - grey[lower - 8 : lower + 8, 4:16].mean()
                )
        assert abs(np.mean(excess["CC"])) < 0.04
        assert np.mean(excess["MLO"]) > 0.12

    def test_the_air_holds_a_label_and_is_dark_elsewhere(self):
        for breast in breasts_of(SMALL):
            image = draw_image(SMALL, breast, "CC")
            far = distance_transform_edt(~image.breast) > 3
            grey = image.pixels / 65535
            assert (grey[far] > 0.6).sum() > 50  # the label
            assert np.median(grey[far]) < 0.05  # the air

    def test_labels_stay_away_from_a_breast_that_leaves_no_room(self):
        narrow = PhantomSettings(patients=30, rows=256, cols=64, seed=0, lesion_contrast=0)
        for breast in breasts_of(narrow):
            image = draw_image(narrow, breast, "MLO")
            beside = (distance_transform_edt(~image.breast) <= 2) & ~image.breast
            assert image.pixels[beside].max() / 65535 < 0.6

    def test_the_skin_is_darker_than_the_middle(self):
        image = draw_image(SMALL, plan_patient(SMALL, 1)[1], "CC")
        depth = depth_of(image.breast)
        bands = [(1, 5), (5, 12), (20, 60)]
        means = [
            image.pixels[image.breast & (depth > low) & (depth <= high)].mean()
            for low, high in bands
        ]
        assert means == sorted(means)
        assert means[0] < 0.6 * means[-1]

    def test_density_drives_the_share_of_bright_tissue(self):
        share = {density: [] for density in (1, 2, 3, 4)}
        for breast in breasts_of(MANY)[:120]:
            image = one_of_many(breast, "CC")
            deep = image.pixels[image.breast & (depth_of(image.breast) > 25)] / 65535
            share[breast.density].append((deep > 0.45).mean())
        means = [np.mean(share[density]) for density in (1, 2, 3, 4)]
        assert means == sorted(means)
        assert means[-1] > 2 * means[0]


class TestSpectrum:
    def test_noise_has_the_exponent_it_was_asked_for(self):
        for beta in (2.0, 3.0):
            rng = np.random.default_rng(0)
            slopes = [power_slope(power_law_noise(rng, 256, 256, beta)) for _ in range(4)]
            assert np.mean(slopes) == pytest.approx(beta, abs=0.15)

    def test_breasts_have_the_exponent_of_real_ones(self):
        settings = PhantomSettings(patients=12, rows=512, cols=416, seed=0, lesion_contrast=0)
        slopes = []
        for breast in breasts_of(settings):
            image = draw_image(settings, breast, "CC")
            row, col = np.argwhere(depth_of(image.breast) > 40).mean(axis=0).astype(int)
            middle = np.s_[row - 64 : row + 64, col - 64 : col + 64]
            if image.breast[middle].shape == (128, 128) and image.breast[middle].all():
                slopes.append(power_slope(image.pixels[middle].astype(float)))
        assert len(slopes) >= 6
        assert np.mean(slopes) == pytest.approx(3.0, abs=0.25)


class TestPlan:
    def test_labels_come_by_the_shares(self):
        shares = (0.1, 0.2, 0.3, 0.4)
        settings = replace(MANY, label_shares=shares)
        worst = []
        for patient in range(settings.patients):
            lesions = [
                lesion.pathology
                for breast in plan_patient(settings, patient)
                for lesion in breast.lesions
            ]
            worst.append(max(lesions, key=LABELS.index, default="normal"))
        assert [worst.count(label) for label in LABELS] == [20, 40, 60, 80]

    def test_some_breasts_have_several_lesions_and_some_of_them_differ(self):
        several = [breast for breast in breasts_of(MANY) if len(breast.lesions) > 1]
        mixed = [b for b in several if len({lesion.pathology for lesion in b.lesions}) > 1]
        assert 10 <= len(several) <= 60
        assert 0 < len(mixed) < len(several)

    def test_areas_have_the_means_of_the_paper_and_a_spread(self):
        drawn = {"mass": [], "calcification": []}
        for breast in breasts_of(MANY):
            for lesion in one_of_many(breast, "CC").lesions if breast.lesions else ():
                drawn[lesion.plan.kind].append(lesion.mask.mean())
        for kind, areas in drawn.items():
            assert len(areas) > 40
            assert np.mean(areas) == pytest.approx(PAPER_AREA[kind], rel=0.15)
            assert 0.25 < np.std(areas) / np.mean(areas) < 0.7

    def test_a_lesion_lies_in_both_views_of_its_breast_equally_far_from_the_chest_wall(self):
        for breast in breasts_of(SMALL):
            images = [draw_image(SMALL, breast, view) for view in ("CC", "MLO")]
            for pair in zip(*(image.lesions for image in images), strict=True):
                depths = []
                for image, lesion in zip(images, pair, strict=True):
                    assert lesion.mask.any()
                    assert not (lesion.mask & ~image.breast).any()
                    row, col = (int(value) for value in Box.of_mask(lesion.mask).centre)
                    extent = image.breast[row].sum()
                    depth = col if breast.laterality == "L" else image.breast.shape[1] - col
                    depths.append(depth / extent)
                assert abs(depths[0] - depths[1]) < 0.2

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"patients": 0}, "at least one patient"),
            ({"rows": 63}, "64 x 64"),
            ({"cols": 1}, "64 x 64"),
            ({"bits": 7}, "8 to 16 bits"),
            ({"bits": 17}, "8 to 16 bits"),
            ({"lesion_contrast": -0.1}, "lesion_contrast"),
            ({"lesion_contrast": float("nan")}, "lesion_contrast"),
            ({"seed": -1}, "seed"),
            ({"label_shares": (0.5, 0.5, 0.5, 0.5)}, "label_shares"),
            ({"label_shares": (1.5, -0.5, 0.0, 0.0)}, "label_shares"),
            ({"label_shares": (0.5, 0.5)}, "label_shares"),
        ],
    )
    def test_impossible_settings_are_refused(self, wrong, message):
        with pytest.raises(DataError, match=message):
            replace(SMALL, **wrong)


class TestFolderLayout:
    def test_reads_back_what_was_planted(self, folder):
        catalogue = read_phantom(folder, SMALL)
        assert len(catalogue.images) == 4 * SMALL.patients
        assert len(catalogue.quarantine) == 0
        assert (catalogue.images["split"] == "").all()
        assert set(catalogue.images["label"]) == set(LABELS)
        assert (catalogue.lesions.groupby("image_id")["pathology"].nunique() > 1).any()
        for row in catalogue.images.itertuples():
            image = image_named(SMALL, row.image_id)
            plans = [lesion.plan for lesion in image.lesions]
            assert np.array_equal(read_pixels(Path(row.path)), image.pixels)
            assert row.label == max(
                (plan.pathology for plan in plans), key=LABELS.index, default="normal"
            )
            assert (row.dataset, row.rows, row.cols, row.bits) == ("phantom", 256, 208, 16)
            assert row.pixel_spacing_mm == pytest.approx(0.8)
            self._check_lesions(catalogue.lesions_of(row.image_id), image)

    @staticmethod
    def _check_lesions(lesions, image):
        assert len(lesions) == len(image.lesions)
        if not image.lesions:
            return
        union = np.any([lesion.mask for lesion in image.lesions], axis=0)
        assert np.array_equal(read_mask(Path(lesions["mask_path"].iloc[0]), *union.shape), union)
        for row, lesion in zip(lesions.itertuples(), image.lesions, strict=True):
            plan = lesion.plan
            assert (row.kind, row.pathology) == (plan.kind, plan.pathology)
            assert (row.assessment, row.subtlety) == (plan.assessment, plan.subtlety)
            rows, cols = np.nonzero(lesion.mask)
            assert (row.row_min, row.row_max) == (rows.min(), rows.max() + 1)
            assert (row.col_min, row.col_max) == (cols.min(), cols.max() + 1)

    def test_sides_and_density_are_kept(self, folder):
        images = read_phantom(folder, SMALL).images.set_index("image_id")
        for breast in breasts_of(SMALL):
            for view in ("CC", "MLO"):
                row = images.loc[f"p{breast.patient:04d}_{breast.laterality}_{view}"]
                assert (row["laterality"], row["view"]) == (breast.laterality, view)
                assert row["density"] == str(breast.density)
                assert row["patient_id"] == f"p{breast.patient:04d}"

    def test_is_drawn_once(self, folder, monkeypatch):
        first = read_phantom(folder, SMALL)
        monkeypatch.setattr(phantom_files, "draw_image", _never)
        assert read_phantom(folder, SMALL).images.equals(first.images)

    def test_other_settings_or_another_drawing_do_not_share_a_cache(self, tmp_path):
        tiny = PhantomSettings(patients=1, rows=64, cols=64, seed=0)
        older = replace(tiny)
        object.__setattr__(older, "drawing", tiny.drawing - 1)
        for settings in (tiny, replace(tiny, seed=1), older):
            read_phantom(tmp_path, settings)
        assert len(list(tmp_path.iterdir())) == 3

    def test_a_broken_off_run_goes_on(self, tmp_path, monkeypatch):
        settings = replace(SMALL, patients=2)
        complete = tmp_path / "whole"
        write_folder_layout(complete, settings)
        real, count = phantom_files.draw_image, iter(range(100))

        def dying(*job):
            if next(count) == 3:
                raise KeyboardInterrupt
            return real(*job)

        monkeypatch.setattr(phantom_files, "draw_image", dying)
        with pytest.raises(KeyboardInterrupt):
            write_folder_layout(tmp_path / "broken", settings)
        assert not (tmp_path / "broken" / "settings.json").exists()
        times = {path: path.stat().st_mtime_ns for path in (tmp_path / "broken").rglob("*.png")}
        monkeypatch.setattr(phantom_files, "draw_image", real)
        write_folder_layout(tmp_path / "broken", settings)
        pictures = [path for path in times if path.parent.name == "images"]
        assert len(pictures) == 3
        assert all(path.stat().st_mtime_ns == times[path] for path in pictures)
        assert _contents(tmp_path / "broken") == _contents(complete)


class TestMiasLayout:
    def test_reads_back_what_was_planted(self, tmp_path):
        write_mias_layout(tmp_path, SMALL)
        catalogue = read_mias(tmp_path, tmp_path / "cache")
        assert len(catalogue.images) == 2 * SMALL.patients
        assert len(catalogue.quarantine) == 0
        images = catalogue.images.set_index("image_id")
        planted = 0
        for number, breast in enumerate(breasts_of(SMALL), start=1):
            image = draw_image(replace(SMALL, bits=8), breast, "MLO")
            row = images.loc[f"mdb{number:03d}"]
            assert np.array_equal(read_pixels(Path(row["path"])), image.pixels)
            assert (row["laterality"], row["bits"]) == (breast.laterality, 8)
            assert row["density"] == "FGGD"[breast.density - 1]
            lesions = catalogue.lesions_of(f"mdb{number:03d}")
            assert len(lesions) == len(image.lesions)
            planted += len(lesions)
            for circle, lesion in zip(lesions.itertuples(), image.lesions, strict=True):
                self._check_circle(circle, lesion.mask)
                malignant = lesion.plan.pathology == "malignant"
                assert circle.pathology == ("malignant" if malignant else "benign")
                assert circle.kind == lesion.plan.kind
        assert planted == len(catalogue.lesions) > 0

    @staticmethod
    def _check_circle(circle, mask):
        """The circle lies over the lesion: all of it inside, and not a much larger one."""
        rows, cols = np.nonzero(mask)
        distance = np.hypot(rows - circle.circle_row, cols - circle.circle_col)
        assert distance.max() <= circle.circle_radius
        assert circle.circle_radius <= distance.max() + 1
        assert abs(circle.circle_row - (rows.min() + rows.max()) / 2) <= 1
        assert abs(circle.circle_col - (cols.min() + cols.max()) / 2) <= 1

    def test_the_origin_is_the_bottom_left_pixel(self, tmp_path):
        write_mias_layout(tmp_path, SMALL)
        number, breast = next(
            (number, breast)
            for number, breast in enumerate(breasts_of(SMALL), start=1)
            if breast.lesions
        )
        lesion = draw_image(replace(SMALL, bits=8), breast, "MLO").lesions[0]
        row, col, radius = mias_circle_of(lesion)
        lines = (tmp_path / "Info.txt").read_text().splitlines()
        line = next(line for line in lines if line.startswith(f"mdb{number:03d}"))
        assert line.split()[-3:] == [str(col), str(SMALL.rows - 1 - row), str(radius)]

    def test_has_the_size_and_prose_of_the_true_one(self, tmp_path):
        settings = PhantomSettings(patients=1, rows=1024, cols=1024, seed=2)
        write_mias_layout(tmp_path, settings)
        assert (tmp_path / "mdb002.pgm").stat().st_size == 1024 * 1024 + len(
            b"P5\n1024 1024\n255\n"
        )
        text = (tmp_path / "Info.txt").read_text()
        assert not text.startswith("mdb")
        assert sum(line.startswith("mdb") for line in text.splitlines()) >= 2

    def test_lesions_without_a_place_are_told(self, tmp_path):
        number = next(n for n, b in enumerate(breasts_of(SMALL), start=1) if b.lesions)
        image_id = f"mdb{number:03d}"
        write_mias_layout(tmp_path, SMALL, without_place=[image_id])
        catalogue = read_mias(tmp_path, tmp_path / "cache")
        assert set(catalogue.quarantine["image_id"]) == {image_id}
        assert set(catalogue.quarantine["effect"]) == {"location unknown"}
        assert catalogue.lesions_of(image_id)["circle_row"].isna().all()


@pytest.fixture(scope="module")
def difficulty(repo: Path) -> ModuleType:
    """benchmarks/phantom_difficulty.py, which belongs to no package."""
    path = repo / "benchmarks" / "phantom_difficulty.py"
    spec = importlib.util.spec_from_file_location("phantom_difficulty", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


class TestDifficulty:
    def test_same_place_in_an_equal_breast_is_the_same_pixel(self, difficulty):
        mask = draw_image(SMALL, plan_patient(SMALL, 0)[1], "CC").breast
        rows = np.flatnonzero(mask.any(axis=1))
        middle = int(rows.mean())
        assert difficulty.same_place(mask, mask, middle, 20.0) == pytest.approx(
            (middle, 20.0), abs=1e-6
        )

    def test_auc_of_a_perfect_and_a_blind_score(self, difficulty):
        lesion = np.tile([True, False], 20)
        patient = np.repeat(np.arange(10), 4)
        perfect = difficulty.auc_with_interval(lesion, lesion.astype(np.float32), patient, 20)
        blind = difficulty.auc_with_interval(lesion, np.zeros(40, np.float32), patient, 20)
        assert perfect == (1.0, 1.0, 1.0)
        assert blind == (0.5, 0.5, 0.5)

    def test_auc_is_that_of_scikit_learn(self, difficulty):
        rng = np.random.default_rng(0)
        lesion = rng.random(200) < 0.4
        score = np.round(lesion + rng.normal(size=200), 1)  # rounded, so that there are ties
        assert difficulty.roc_auc(lesion, score) == pytest.approx(roc_auc_score(lesion, score))

    @pytest.mark.slow
    def test_a_network_learns_what_brightness_does_not_tell(self, difficulty):
        # Half the resolution of the benchmark, in a quarter of its time: phantoms look the same.
        phantom = PhantomSettings(patients=70, rows=512, cols=416, seed=7)
        table = difficulty.measure(difficulty.Trial(phantom, window=128, epochs=20, draws=20))
        auc = table.set_index(["method", "group"])["auc"]
        assert auc["small CNN", "all"] > 0.75
        for rule in ("maximum", "mean", "99th percentile"):
            assert abs(auc[rule, "all, training patients too"] - 0.5) < 0.15, rule


def _never(*_job: object) -> None:
    raise AssertionError("drawn again")


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
