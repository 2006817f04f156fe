"""Several people in one picture: followed, told apart, named, read."""
