# An image with a model in it: docker build -f deploy/docker/model.Dockerfile --build-arg IMAGE=bertx:numpy FOLDER
ARG IMAGE
FROM ${IMAGE}
COPY . /model
