"""Image events: one process publishes a change of an image's status, and all processes receive it."""
