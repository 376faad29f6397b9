"""The use cases of the API. They do not depend on flask or pydantic."""
