"""Generation for evaluation: many prompts, quickly, each answer the same whoever shares its batch."""
