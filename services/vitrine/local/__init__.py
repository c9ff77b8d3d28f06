"""The embedded stack: real Triton, real Milvus and the gateway as processes of one user on one machine."""
