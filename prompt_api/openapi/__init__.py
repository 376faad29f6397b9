"""The OpenAPI 3.1 document of this service, and the page made from it.

Schemas come from the types in `prompt_api.wire` that check requests and build answers. Problems come from the error
tree and the one map to statuses, limits from the constants that enforce them. Only what the routes mean is written here
by hand. spectree, flask-openapi and APIFlask would derive the paths as well, but each brings its own validation and
error envelope and passes answers through pydantic; a test that the routes and this document agree costs less.

The page is made here as well: HTML without any script. Six viewers were tried in its place in November 2026, with
axe-core in Chromium, and each failed in something that the page must do. Swagger UI 5.35 has 117 lists without a label,
and scrolls sideways on a phone. Redoc 2.5 and 3.0 fetch a logo from their maker. RapiDoc 9.3 and OpenAPI Explorer 2.4
have fields without a label, and Explorer shows none of a prompt's members. Elements 9.0 has a heading without a level.
Scalar 1.76 takes 4.9 MB. All but Swagger UI need inline styles.
"""
