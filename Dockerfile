# syntax=docker/dockerfile:1
# Two stages: the bundle is built with the development packages; the image holds the bundle and koffi's binary, nothing else of npm.
FROM node:24-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --include=dev --no-audit --no-fund
COPY scripts/build.mjs scripts/load-bundle.cjs scripts/code-cache.mjs scripts/lean.mjs scripts/
COPY src src
RUN node scripts/build.mjs \
 && mkdir -p /out/node_modules/@koromix \
 && cp -r dist package.json /out/ \
 && cp -r node_modules/koffi /out/node_modules/ \
 && cp -r node_modules/@koromix/koffi-linux-* /out/node_modules/@koromix/

FROM node:24-slim
# nft, ip and iptables (to see a mesh proxy's legacy rules) serve `ringfence intercept`, which runs once, as an init container with
# NET_ADMIN; `ringfence run` uses none of them.
# The file capability lets uid 7946 hold NET_RAW where the pod grants it ("p" alone: where it does not, node still starts).
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends nftables iproute2 iptables libcap2-bin \
 && rm -rf /var/lib/apt/lists/* \
 && setcap cap_net_raw+p /usr/local/bin/node \
 && groupadd --gid 7946 ringfence \
 && useradd --uid 7946 --gid 7946 --no-create-home --shell /usr/sbin/nologin ringfence
WORKDIR /opt/ringfence
COPY --from=build /out ./
COPY config config
COPY LICENSE ./
USER 7946:7946
EXPOSE 7946/tcp 7946/udp 9746/tcp
ENV NODE_ENV=production
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9746/healthz').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# The flags of the launcher's own first line; the code cache of dist/ was made with them.
ENTRYPOINT ["node", "--max-semi-space-size=1", "--single-threaded-gc", "--v8-pool-size=1", "/opt/ringfence/dist/ringfence.js"]
CMD ["run", "-c", "/etc/ringfence/ringfence.yaml"]
