# The one image of Wallex: the services, the operator, and kubectl's plugin to be copied out of it.
#   docker build -t wallex .
# dev/image packs the same layout without Docker; it reads which packages this file builds, and its last stage for programs, user and entry point.

FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libssl-dev make pkg-config zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p wallex -p wallex-operator -p wallex-kubectl

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/wallex /src/target/release/wallex-operator /src/target/release/kubectl-wallex /usr/local/bin/
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/wallex"]
