"""Load a backbone, cache its frozen layers, train the rest, and explain predictions.

No other room imports TensorFlow or Keras.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "architecture": ["architecture", "build_model"],
        "backbone": ["load_backbone", "load_model", "scaling_layer", "trunk_of"],
        "cut": ["last_convolutions"],
        "explain": ["attribute", "attribute_image", "attribute_linear", "grad_cam"],
        "feature_views": ["cut_table", "principal_components"],
        "features": ["features_by_depth"],
        "pretrained": ["frozen_backbone", "obtain_backbone"],
        "runtime": ["keras"],
        "training": ["fit", "predict"],
    },
)
