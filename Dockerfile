# Builds the gateway and puts nothing but the binary and CA certificates into the image.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package switchhook

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/switchhook /usr/bin/switchhook
COPY LICENSE /usr/share/doc/switchhook/LICENSE
# The data directory must be a volume: it holds every event that was acknowledged.
VOLUME ["/var/lib/switchhook"]
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/switchhook"]
CMD ["serve", "-c", "/etc/switchhook/switchhook.toml"]
