"""Digests of the names and shapes in Meta's own code, without the tracker's. `record_sam2.py` prints them."""

META_NAMES = {
    "sam2.1_tiny": "4c2fbcf85d637a9546faed3b06e228ff209b1b337c1783e9301fed8b01734022",
    "sam2.1_small": "35faaf773cc51d24103105528ad75ddd549b96b313e925f2184b87f77ce12bbe",
    "sam2.1_base_plus": "3a8fbb2eee9337604a0459968f5efc296d6e904a5e9c1d5b1431ad2aea181b52",
    "sam2.1_large": "e3249d8a128326c82012b1ca20afe2c0a4c24d2c367c1d61820113b0c9a36154",
    "small": "0fd484f58fa80df4b924fe21ac2a9d1d2f4d412024283010602bfeac0ea20503",
    "edgetam": "c0b1062a889e1882d6498aaf2744cf01af604b5be022fdaa07dfdeb39eeb521d",
}
