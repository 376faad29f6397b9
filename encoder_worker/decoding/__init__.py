"""From the bytes of an image to the pixels that an encoder takes: in this process, or in processes of their own."""
