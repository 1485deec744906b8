"""A run or a chain made so that a stranger can check and repeat it: what goes in, what is verified, what is rebuilt."""
