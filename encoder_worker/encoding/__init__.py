"""The worker's use case, from an uploaded image to its stored embedding. Knows neither RQ nor any runtime."""
