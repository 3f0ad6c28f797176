"""The demo: real awards with an invented history, played through the service as its people would."""
