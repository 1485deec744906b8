"""A ladder of sizes, a scaling law through them, and a prediction of the next size before it is trained."""
