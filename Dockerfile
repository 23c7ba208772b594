# Understudy as a sidecar: docker run -v ./understudy.yaml:/etc/understudy/understudy.yaml understudy
# It has no redis-server in it: `managed:` stores are for trying out, outside of containers.

FROM node:26-alpine AS build
WORKDIR /build
COPY package.json package-lock.json ./
# Without install scripts: they only bring a Node of our own, and the image has one.
RUN npm install --no-save --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build

FROM node:26-alpine AS dependencies
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm install --no-save --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:26-alpine
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx \
  && ln -s /opt/understudy/bin/understudy.mjs /usr/local/bin/understudy \
  && install -d -o node -g node /var/lib/understudy
WORKDIR /opt/understudy
COPY --from=dependencies /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY bin bin
COPY package.json LICENSE ./

# State (dirty keys, checkpoints, journal) is kept relative to the working directory: put a volume here.
WORKDIR /var/lib/understudy
VOLUME /var/lib/understudy
USER node
# The main thread's young generation: docs/decisions/0047.
ENV NODE_ENV=production NODE_OPTIONS=--max-semi-space-size=4 UNDERSTUDY_ADMIN_URL=http://127.0.0.1:9380
EXPOSE 6380 9380
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD wget -q -O /dev/null "$UNDERSTUDY_ADMIN_URL/healthz" || exit 1
ENTRYPOINT ["understudy"]
CMD ["serve", "--config", "/etc/understudy/understudy.yaml"]
