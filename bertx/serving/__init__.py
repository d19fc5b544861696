"""`bertx serve`: models behind HTTP, with the routes of text-embeddings-inference and OpenAI's embeddings."""
