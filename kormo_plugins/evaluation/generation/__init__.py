"""Fast batched generation for evaluation; an answer does not depend on the other rows of its batch."""
