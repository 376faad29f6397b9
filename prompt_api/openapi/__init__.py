"""The OpenAPI 3.1 document of this service, and the page made from it.

The schemas come from the types in `prompt_api.wire` and in the `wire` modules of `prompt_api.integrations`, which check
requests and describe answers. The problems come from the error tree and its map to statuses. The limits come from the
constants that enforce them. Only the meaning of the routes is written here by hand. spectree, flask-openapi and
APIFlask could derive the paths too, but each brings its own validation and error format and passes answers through
pydantic. A test that compares the routes with this document costs less.

The page is made here too, as HTML without scripts. In November 2026 six viewers were tried instead, with axe-core in
Chromium. Each failed a requirement of the page. Swagger UI 5.35 has 117 lists without a label, and scrolls sideways on
a phone. Redoc 2.5 and 3.0 fetch a logo from their maker. RapiDoc 9.3 and OpenAPI Explorer 2.4 have fields without a
label, and Explorer shows none of a prompt's members. Elements 9.0 has a heading without a level. Scalar 1.76 is 4.9 MB
large. All but Swagger UI need inline styles.
"""
