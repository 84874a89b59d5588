"""Reads checkpoint files, describes a user's own, and builds their networks. Needs PyTorch, unlike `fetch`.

Which architecture a checkpoint holds is inferred in `stemsplit.models.infer`.
"""
