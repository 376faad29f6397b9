"""How requests reach the service: as values (`wire`), over HTTP (`transport`), on kept connections (`connection`)."""
