"""The first Segment Anything: its weights and its mask geometry, around `prompt_api.models.two_way`."""
