"""The inside of `simulate`: what a run needs, resolved once, and the loops that run it forward and backward."""
