"""Every model of keras.applications in the lab: what is cut, trained, saved and explained. Writes docs/networks.md.

Untrained weights and generated images suffice, because the structure of the networks is tried. Each network has a
process of its own. Rows of an earlier run are kept in workspace/bench/applications.json, so a stopped run resumes.
"""

import argparse
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from common import answer, measure

from lab_utils.core.config import Scenario
from lab_utils.core.errors import LabError
from lab_utils.core.paths import project_root

SIDE = 64  # pixels, or the smallest that a network takes
IMAGES = 12
TOLERANCE = 1e-3  # of probabilities: before and after saving
HEADER = """# Networks

Every model of `keras.applications`, tried in the lab with untrained weights on grey images of 64 × 64 pixels, or of the
smallest size that the network takes. `.venv/bin/python bench/applications.py` writes this page.

- **Parameters:** those of the backbone, without its classifier.
- **Scaling:** *inside*: the network scales pixel values itself, so the lab does not. Otherwise, the range to which the
  network's own preprocessing (`scaling: backbone`) brings the pixel values 0 to 255. *or unit*: `scaling: unit` (values
  / 255) is possible, too. For the other networks, such values would be 255 times too small. There `unit` is replaced by
  the network's own preprocessing, and a notice says so.
- **Smallest image:** side in pixels.
- **Convolutions:** how many count for `trainable_convs`. They are ordered by the longest path of convolutions from the
  image. A shortcut convolution is thus placed in front of the block that it bypasses. Depthwise convolutions and
  squeeze-and-excitation gates do not count. A dense layer on a feature map counts, because it is a 1×1 convolution.
- **Last two:** the second-last and the last convolution.
- **Cut:** the last layer whose output is stored, for `trainable_convs: 2` and for `1`. For `all`, nothing is stored.
- **Grad-CAM:** the layer whose maps are explained.
- **Result:** *trains* means that a step was trained with 2 and with all convolutions. The loss is finite. Trained
  weights move; frozen weights and BatchNorm statistics stay. The saved model predicts the same after loading. Grad-CAM
  gives a map.

"""


def images_of(side: int, folder: Path) -> Any:
    """Make grey noise of two classes, of different brightness."""
    from lab_utils.data.labelled import LabelledImages

    classes = ["a", "b"] * (IMAGES // 2)
    noise = np.random.default_rng(0).integers(0, 128, (IMAGES, side, side))
    images = (noise + 100 * np.arange(IMAGES)[:, None, None] % 2).astype(np.uint8)
    manifest = pd.DataFrame({"class": classes, "split": ["train"] * (IMAGES - 4) + ["validation"] * 4})
    return LabelledImages(images, manifest, ("a", "b"), "generated", folder)


def smallest_image(name: str) -> int:
    """Find the smallest image of a network from its message about one that is too small."""
    from lab_utils.models.pretrained import obtain_backbone

    try:
        obtain_backbone(name, 8, weights="random", synthetic=False)
    except LabError as error:
        (least,) = re.findall(r"expected (\d+)x", str(error))
        return int(least)
    return 8


def scaling_of(name: str) -> str:
    """Say to what a network's own scaling maps pixel values of 0 and 255, and whether `unit` is possible."""
    from lab_utils.models.backbone import scaling_layer, scaling_used

    pixels = np.array([[[[0, 0, 0], [255, 255, 255]]]], np.float32)
    values = np.asarray(scaling_layer(name, "backbone")(pixels))
    if np.array_equal(values, pixels):
        return "inside"
    text = f"{values.min():.3g} to {values.max():.3g}".replace("-", "−")
    return f"{text} or unit" if scaling_used(name, "unit") == "unit" else text


def try_network(name: str) -> dict[str, Any]:
    """Build, cut, train, save, load and explain one network; raise what goes wrong."""
    from lab_utils.models import engine
    from lab_utils.models.backbone import scaling_layer
    from lab_utils.models.convolutions import last_convolutions, ordered_convolutions
    from lab_utils.models.cut import graph_of
    from lab_utils.models.features import features_by_depth
    from lab_utils.models.pretrained import frozen_backbone
    from lab_utils.models.runtime import tf

    tf.config.run_functions_eagerly(True)  # to compile a network of hundreds of layers takes minutes
    engine.fastest_engine = lambda: "tensorflow"
    began = time.perf_counter()
    least = smallest_image(name)
    with TemporaryDirectory() as folder:
        data = images_of(max(SIDE, least), Path(folder))
        scaling = scaling_layer(name, "unit")
        backbone, _ = frozen_backbone(name, data, scaling, weights="random", synthetic=True)
        row = {
            "parameters": f"{backbone.count_params():,}",
            "smallest image": least,
            "convolutions": len(ordered_convolutions(graph_of(backbone))),
            "last two": ", ".join(layer.name for layer in last_convolutions(backbone, 2)),
        }
        cuts = features_by_depth(backbone, scaling, [2, 1, "all"], data)
        row["cut"] = ", ".join(cut.layer for cut in cuts.values())
        row["grad-cam"] = saved_and_explained(trained(2, backbone, scaling, data), data)
        trained("all", backbone, scaling, data)
        row["result"] = "trains"
    print(f"{name}: {time.perf_counter() - began:.0f} s")
    return row


def trained(depth: Any, backbone: Any, scaling: Any, data: Any) -> Any:
    """Train a model for a step with some convolutions; raise LabError where other weights move than should."""
    from lab_utils.models.architecture import build_model
    from lab_utils.models.backbone import leaf_layers
    from lab_utils.models.training import fit

    plan = Scenario(name="tried", title="tried", trainable_convs=depth, head=(8,), batch_size=IMAGES)
    model = build_model(plan, backbone, scaling, data.shape, 2)
    before = [(layer, layer.get_weights()) for layer in leaf_layers(backbone)]
    history = fit(model, data, epochs=1, batch_size=IMAGES)
    moved = [
        layer
        for layer, weights in before
        if any((old != new).any() for old, new in zip(weights, layer.get_weights(), strict=True))
    ]
    if wrong := [layer.name for layer in moved if not layer.trainable]:
        raise LabError(f"depth {depth}: frozen layers moved: {', '.join(wrong)}")
    if not moved or not np.isfinite(history[["loss", "val_loss"]].to_numpy()).all():
        raise LabError(f"depth {depth}: no layer of the backbone moved, or the loss is not finite")
    return model


def saved_and_explained(model: Any, data: Any) -> str:
    """Save, load and explain a model; return the name of the layer that Grad-CAM explains."""
    from lab_utils.models.backbone import load_model
    from lab_utils.models.cut import graph_of
    from lab_utils.models.explain import attribute, last_map
    from lab_utils.models.training import predict

    rows = data.rows("validation")
    probabilities = predict(model, data, rows)
    path = data.features_folder / "model.keras"
    model.save(path)
    images = np.repeat(data.images[rows, ..., None], 3, axis=-1).astype(np.float32)
    loaded = load_model(path, stage="30_train").predict(images, verbose=0)
    if np.abs(loaded - probabilities).max() > TOLERANCE:
        raise LabError(f"the saved model differs by {np.abs(loaded - probabilities).max():.2g}")
    if not np.isfinite(attribute(model, data, rows).maps).all():
        raise LabError("Grad-CAM is not finite")
    graph = graph_of(model)
    return str(graph.steps[last_map(graph)].layer.name)


def tried(name: str) -> dict[str, Any]:
    """Try a network in a process of its own; the reason where it fails."""
    try:
        return {"network": name, **measure(__file__, name)[0]}
    except SystemExit as error:
        return {"network": name, "result": str(error).strip().splitlines()[-1][:200]}


def write_page(rows: dict[str, dict[str, Any]]) -> None:
    """Write the rows of the networks, which `tried` returns, as docs/networks.md."""
    columns = ["network", "parameters", "scaling", "smallest image", "convolutions", "last two", "cut"]
    columns += ["grad-cam", "result"]
    lines = [columns, ["---"] * len(columns)]
    for name in sorted(rows):
        row = {**rows[name], "scaling": scaling_of(name)}
        lines.append([str(row.get(column, "")) for column in columns])
    page = HEADER + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    if missing := [name for name in all_networks() if name not in rows]:
        page += f"\nNot tried yet: {', '.join(missing)}.\n"
    (project_root() / "docs" / "networks.md").write_text(page, encoding="utf-8")


def main() -> None:
    """Try the networks and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", help="default: those that an earlier run has not tried")
    parser.add_argument("--jobs", type=int, default=1, help="networks at a time")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        answer(try_network, given.measure)
        return
    kept = project_root() / "workspace" / "bench" / "applications.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(kept.read_text()) if kept.is_file() else {}

    def keep(name: str) -> None:
        rows[name] = tried(name)
        kept.write_text(json.dumps(rows, indent=1))

    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(keep, given.networks or [name for name in all_networks() if name not in rows]))
    write_page(rows)


def all_networks() -> list[str]:
    """List the models of keras.applications."""
    from lab_utils.models.runtime import keras

    return sorted(name for name, value in vars(keras.applications).items() if callable(value))


if __name__ == "__main__":
    main()
