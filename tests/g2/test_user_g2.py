"""The class to start from computes what the shipped one does."""

import shutil

import h5py
import numpy as np
import pytest


@pytest.mark.parametrize("ranks", [0, 4])
def test_it_equals_the_shipped_class(setup, root, ranks):
    user = setup.user | {"saturated_value": 14}
    setup.write(user=user)
    assert setup.drive("-o", "shipped.h5").returncode == 0
    shutil.copy(root / "examples" / "user_g2.py", setup.folder)
    text = (setup.folder / "config.py").read_text(encoding="utf-8")
    text = text.replace("from parcorana import userg2", "import user_g2").replace("userg2.G2atEnd", "user_g2.UserG2")
    (setup.folder / "config.py").write_text(text, encoding="utf-8")
    run = setup.drive("-o", "own.h5", ranks=ranks)
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "shipped.h5") as shipped, h5py.File(setup.folder / "own.h5") as own:
        assert list(own["user"]) == list(shipped["user"])
        compared = []

        def compare(name, node):
            if isinstance(node, h5py.Dataset):
                compared.append(name)
                np.testing.assert_allclose(node[()], shipped["user"][name][()], rtol=1e-12, err_msg=name)

        own["user"].visititems(compare)
        assert any(name.endswith("IP/delay_000055") for name in compared)
        assert any(name.endswith("delay_curve_color_3") for name in compared)
        assert shipped["user"][compared[0].split("/")[0]]["saturated"][()].any()
