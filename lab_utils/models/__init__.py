"""Load a backbone, cache its frozen layers, train the rest, and explain predictions.

No other room imports TensorFlow or Keras.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "architecture": ["architecture", "build_model"],
        "backbone": [
            "BackboneRecord",
            "leaf_layers",
            "load_backbone",
            "load_model",
            "save_backbone",
            "scaling_layer",
            "trunk_of",
        ],
        "convolutions": ["last_convolutions"],
        "explain": ["AttributionError", "attribute", "attribute_image", "attribute_linear", "grad_cam"],
        "export": ["export_model", "pixel_scaling"],
        "features": ["cut_table", "features_by_depth", "principal_components"],
        "precision": ["product_precision"],
        "pretrained": ["frozen_backbone", "obtain_backbone"],
        "runtime": ["keras"],
        "training": ["TrainablePart", "fit", "predict"],
    },
)
