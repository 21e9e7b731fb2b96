"""Long histories → edits of a recommender's head: what reads them, what is generated, and how it scores."""
