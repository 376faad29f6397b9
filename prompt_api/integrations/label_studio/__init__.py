"""An ML backend for Label Studio.

It turns smart keypoints and rectangles into brush or polygon regions. It does not import flask.
"""
