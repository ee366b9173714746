# Wallex's only image: the services and the operator.
#   docker build -t wallex .
# dev/image packs the same layout without Docker: it reads programs, user and entry point from the last stage of this file.

FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libssl-dev make pkg-config zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p wallex -p wallex-operator

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/wallex /src/target/release/wallex-operator /usr/local/bin/
# Numeric, so that Kubernetes can verify that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/wallex"]
