"""Files as bytes: what each container may hold, and how its arrays are read and written; no names of tensors."""
