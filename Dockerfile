# Wallex's only image: the services, the operator, and the kubectl plugin to copy out of it.
#   docker build -t wallex .
# dev/image packs the same layout without Docker: it reads the packages to build from this file, and programs,
# user and entry point from its last stage.

FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libssl-dev make pkg-config zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked -p wallex -p wallex-operator -p wallex-kubectl

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/dist/wallex /src/target/dist/wallex-operator /src/target/dist/kubectl-wallex /usr/local/bin/
# Numeric, so that Kubernetes can verify that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/wallex"]
