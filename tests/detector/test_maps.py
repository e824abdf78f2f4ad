"""Maps out of files: those of other programs as they write them, quantities, and every fault of them told."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana.detector import maps
from parcorana.detector.images import Layout
from parcorana.errors import ConfigError

SHAPE = (12, 20)
RNG = np.random.default_rng(0)
RINGS, SECTORS, FINE = 3, 4, 9
RING = RNG.integers(0, RINGS, SHAPE)
SECTOR = RNG.integers(0, SECTORS, SHAPE)
OUT = (RNG.random(SHAPE) < 0.2) | ((RING == 1) & (SECTOR == 2))  # one partition is empty
Q = np.array([0.01, 0.02, 0.04])


def compressed(natural):
    """Return what pySimpleMask makes of natural numbers: those that are there, counted, and which they were."""
    found, index = np.unique(np.where(OUT, -1, natural), return_inverse=True)
    return index.reshape(SHAPE), found[1:]


def write(path, group, **datasets):
    with h5py.File(path, "a") as file:
        for name, data in datasets.items():
            file[f"{group}/{name}"] = data


def simple_mask(path, group="qmap"):
    color, index = compressed(RING * SECTORS + SECTOR)
    fine, fine_index = compressed(RNG.integers(0, FINE, SHAPE))
    write(
        path,
        group,
        dynamic_roi_map=color.astype("u1"),
        static_roi_map=fine.astype("u2"),
        dynamic_index_mapping=index,
        static_index_mapping=fine_index,
        dynamic_v_list_dim0=Q,
        dynamic_v_list_dim1=np.arange(SECTORS) * 90.0,
        static_v_list_dim0=np.linspace(0.01, 0.04, FINE),
        static_v_list_dim1=[0.0],
        mask=~OUT,
        map_names=["q", "phi"],
        map_units=["Å⁻¹", "deg"],
    )
    return color, fine


@pytest.mark.parametrize("group", ["qmap", "xpcs/qmap", "elsewhere/mine"])
def test_partitions_of_simple_mask(tmp_path, group):
    """Numbers without the empty ones: the mapping says which ring and sector each is."""
    path = tmp_path / "p.hdf"
    color, fine = simple_mask(path, group)
    found = maps.load_map("--by", f"{path}:/{group}" if "mine" in group else str(path))
    assert np.array_equal(found.color, color) and np.array_equal(found.fine, fine) and found.notes == ()
    assert (found.name, found.unit, found.has_mask) == ("q", "1/angstrom", True)
    assert len(found.mean) == RINGS * SECTORS - 1
    for c in found.mean:  # by the elements themselves, and not by the mapping
        (ring,), (sector,) = np.unique(RING[color == c]), np.unique(SECTOR[color == c])
        assert found.mean[c] == Q[ring] and found.place[c] == (ring + 1, sector + 1)
    static = maps.load_map("--by", f"{path}:/{group}/static_roi_map")
    assert np.array_equal(static.color, fine) and len(static.mean) == FINE
    where = f"{path}:/{group}/mask" if "mine" in group else str(path)
    assert np.array_equal(maps.load_mask("-m", where), ~OUT)


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("xpcs", ("dqmap", "sqmap", "dqlist", "mask")),
        ("data", ("dynamicMap", "staticMap", "dqval", "mask")),
        ("entry/instrument/masks", ("dynamic_roi_map", "static_roi_map", "dynamic_q_list", "mask")),
    ],
)
@pytest.mark.parametrize("holes", [False, True])
def test_a_value_for_each_partition(tmp_path, group, names, holes):
    """-1 where there is none, lists of two axes; values of all numbers, or of those that are there."""
    path = tmp_path / "p.hdf"
    color = np.where(OUT | ((RING == 1) & holes), -1, RING + 1)
    values = Q[[0, 2]] if holes else Q
    write(
        path, group, **dict(zip(names, (color, np.where(color > 0, color * 2.0, -1), values[None], ~OUT), strict=True))
    )
    found = maps.load_map("--by", str(path))
    assert np.array_equal(found.color, np.maximum(color, 0)) and found.fine.max() == 6
    assert found.mean == ({1: Q[0], 3: Q[2]} if holes else dict(zip((1, 2, 3), Q, strict=True)))
    assert found.place == {} and found.unit == "1/angstrom" and found.notes == ()


def test_lists_that_do_not_belong_to_the_map_name_nothing(tmp_path):
    path = tmp_path / "p.hdf"
    write(path, "xpcs", dqmap=RING + 1, dqlist=[0.1])
    found = maps.load_map("--by", str(path))
    assert found.mean == {} and "1 dqlist and partitions up to 3 do not belong together" in found.notes[0]


def test_quantities(tmp_path):
    np.save(tmp_path / "two theta.npy", RING / 3)
    found = maps.load_map("--by", tmp_path / "two theta.npy")
    assert (found.name, found.unit) == ("two_theta", "") and np.array_equal(found.values, RING / 3)
    write(tmp_path / "m.h5", "a", phi=(RING / 3).astype("f4"))
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file["a/phi"].attrs["units"] = b"deg"
        file["frames"] = h5py.ExternalLink("none.h5", "/x")  # is beside it, and no matter
        file.create_dataset("raw", (10**6, 10**4, 10**4), "u2", chunks=(1, 100, 100))
    found = maps.load_map("--by", f"{tmp_path}/m.h5:/a/phi")
    assert (found.name, found.unit, found.values.dtype) == ("phi", "degrees", np.float64)
    for text, unit in (("1/A", "1/angstrom"), ("nm^-1", "1/nm"), ("mm", "mm"), ("", "")):
        assert maps.unit_of(text) == unit


def faults(folder):
    write(folder / "odd.h5", "/", text="abc", words=np.array(["a"], "S"), complex=np.ones(SHAPE, complex))
    write(folder / "odd.h5", "/", zeros=np.zeros(SHAPE, int), large=np.full(SHAPE, 2**40), half=RING + 0.5)
    write(folder / "bad.h5", "qmap", dynamic_roi_map=RING + 0.5)
    with h5py.File(folder / "odd.h5", "a") as file:
        file["out"] = h5py.ExternalLink("other.h5", "/x")
        file["soft"], file["loop"] = h5py.SoftLink("/out"), h5py.SoftLink("/loop")
        file["null"] = h5py.Empty("f8")
        file.create_dataset("huge", (10**6, 10**6), "f8", chunks=(1000, 1000))
        file.create_virtual_dataset("virtual", h5py.VirtualLayout(SHAPE, "i4"))
    (folder / "empty.h5").write_bytes(b"")
    (folder / "cut.h5").write_bytes((folder / "odd.h5").read_bytes()[:900])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("none.h5", "the file 'none.h5' does not exist"),
        ("none.h5:/a", "the file 'none.h5' does not exist"),
        (".", "is a folder"),
        ("empty.h5", "it is empty"),
        ("cut.h5", "is not a readable HDF5 file"),
        ("odd.h5", "has no partition where known programs put one (/xpcs/qmap/dynamic_roi_map, "),
        ("bad.h5", "has numbers that are not whole"),
        ("odd.h5:/text", "it must hold real numbers"),
        ("odd.h5:/words", "it must hold real numbers"),
        ("odd.h5:/complex", "holds complex128; it must hold real numbers"),
        ("odd.h5:/zeros", "has no number above 0"),
        ("odd.h5:/large", "has the value 1099511627776, which is too large for a colour"),
        ("odd.h5:/out", "is a link into another file"),
        ("odd.h5:/soft", "is a link into another file"),
        ("odd.h5:/loop", "is a link into another file"),
        ("odd.h5:/null", "has no element"),
        ("odd.h5:/huge", "GiB, more memory than there is"),
        ("odd.h5:/virtual", "are in another file"),
        ("odd.h5:/nothing", "has no dataset '/nothing'"),
    ],
)
def test_faults_are_one_sentence(tmp_path, monkeypatch, text, sentence):
    monkeypatch.chdir(tmp_path)
    faults(tmp_path)
    with pytest.raises(ConfigError) as caught:
        maps.load_map("--by", text)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_mask_is_the_one_that_is_named(tmp_path):
    simple_mask(tmp_path / "p.hdf")
    write(tmp_path / "p.hdf", "qmap", pixel_mask=np.where(OUT, 8, 0))
    with pytest.raises(ConfigError, match="has no mask at '/qmap/blemish'"):
        maps.load_mask("-m", f"{tmp_path}/p.hdf:/qmap/blemish")
    with pytest.raises(ConfigError, match=r"has the values 8; .* if 0 is a good pixel in it, as in NeXus"):
        maps.load_mask("-m", f"{tmp_path}/p.hdf:/qmap/pixel_mask")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 2), st.integers(0, 2))
def test_axes_of_length_one_do_not_matter(shape, more, wanted):
    array = np.arange(np.prod(shape)).reshape([1] * more + shape)
    found = maps.fitted("k", "f", array, tuple([1] * wanted + shape))
    assert found.shape == tuple([1] * wanted + shape) and np.array_equal(found.ravel(), array.ravel())


def test_images_and_other_shapes():
    layout = Layout(*(index.reshape(2, 6, 20).astype(np.int32) for index in np.indices(SHAPE)))
    assert np.array_equal(maps.fitted("k", "f", RING, (2, 6, 20), layout).ravel(), RING.ravel())
    with pytest.raises(ConfigError, match=r"the shape 12x20; it must be 2x6x20, that of the data$"):
        maps.fitted("k", "f", RING, (2, 6, 20))
    with pytest.raises(ConfigError, match=r"it must be 12x20, .* exchanged: say --transpose"):
        maps.fitted("k", "f", RING.T, SHAPE)
