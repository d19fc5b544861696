"""Text generation from a decoder: the loop over tokens, what is drawn, and the keys and values that are kept."""
