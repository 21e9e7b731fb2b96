"""The recommendation benchmark: every row on the same queries, by users, with what each level of an edit brings."""
