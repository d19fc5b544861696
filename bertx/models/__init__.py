"""The layer spec of BERT: ordinary Python over the building blocks of `nn`.

Run from here it is NumPy, and the float64 oracle. A backend package puts this folder on its own
`__path__`, so that the same files become classes of its framework. Dimension letters in the shapes:
B batch, C choices, T sequence, H hidden, N heads, D = H / N, L labels, V vocabulary.
"""
