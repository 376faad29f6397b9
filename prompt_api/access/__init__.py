"""Who may do what: tokens and their scopes, rate limits, browsers of other origins, security headers."""
