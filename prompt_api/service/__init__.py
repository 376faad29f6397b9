"""The use cases of the API. They know neither flask nor pydantic."""
