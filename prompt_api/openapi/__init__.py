"""The OpenAPI 3.1 document of this service, and the page made from it.

Schemas come from the types in `prompt_api.wire` that check requests and build answers. Problems come from the error
tree and the one map to statuses, limits from the constants that enforce them. Only what the routes mean is written here
by hand. spectree, flask-openapi and APIFlask would derive the paths as well, but each brings its own validation and
error envelope and passes answers through pydantic; a test that the routes and this document agree costs less.
"""
