"""The protocol of samapi, the server of QuPath's SAM extension.

It turns boxes and points into GeoJSON. It does not import flask.
"""
