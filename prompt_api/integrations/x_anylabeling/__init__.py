"""The remote server protocol of X-AnyLabeling.

It turns points and rectangles into polygons, rectangles and rotated rectangles. It does not import flask.
"""
