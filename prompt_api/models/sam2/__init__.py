"""SAM 2, SAM 2.1 and EdgeTAM on images: their weights and mask geometry, around `prompt_api.models.two_way`."""
