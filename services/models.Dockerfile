# A Triton model repository as an image, to be mounted as an image volume. The build's context is the repository itself:
#
#   docker build -f services/models.Dockerfile -t vitrine-models model_repository
#
# Nothing in it runs. Its digest names the model as exactly as the fingerprint in contract.json does.
FROM scratch
LABEL org.opencontainers.image.title="vitrine-models" \
      org.opencontainers.image.description="Triton model repository: clip_text, clip_image, contract.json, tokenizer.json"
COPY . /
