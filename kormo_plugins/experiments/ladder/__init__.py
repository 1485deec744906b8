"""A ladder of sizes: trained by one recipe, fitted by a scaling law, which predicts the next size before it is trained."""
