"""`make bench`: what one text query costs, by the usual recipe, by each engine alone, and by the gateway."""
