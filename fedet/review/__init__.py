"""What reviewers decide, how it is kept, and what is learned from it."""
