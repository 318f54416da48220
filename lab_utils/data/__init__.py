"""Obtain a data set, check it, split it, and store its images as one array file.

Nothing here knows about models.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dataset": ["Dataset", "load_dataset", "obtain"],
        "decode": ["read_image", "resize"],
        "duplicates": ["leaks", "matches"],
        "external": ["load_collection", "obtain_collection"],
        "labelled": ["LabelledImages", "prepare_test_images"],
        "manifest": ["build_manifest", "list_items", "read_images"],
        "quality": ["collect_findings", "published_differences"],
        "samples": ["sample_images"],
        "splits": ["SplitError"],
        "store": ["ensure_masks", "ensure_store", "open_store"],
        "unlabelled": ["list_images"],
    },
)
