"""HTTP: endpoints, middleware, authentication and the server that guards connections."""
