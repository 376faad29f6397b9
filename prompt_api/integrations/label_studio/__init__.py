"""Label Studio's ML backend: smart keypoints and rectangles in, brush or polygon regions out. It knows no flask."""
