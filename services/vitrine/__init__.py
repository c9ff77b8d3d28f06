"""Vitrine: text-to-image product search on Triton and Milvus."""
