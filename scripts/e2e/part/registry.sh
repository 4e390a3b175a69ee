#!/usr/bin/env bash
# A registry that wants a login, on 127.0.0.1 by plain HTTP: E2E_DIR/registry/env says where it is and who may pull. It holds private/busybox:1, the image of
# the part image. Its log tells who asked for what.
. "$(dirname "$(readlink -f "$0")")/../lib.sh"
[ "$(id -u)" = 0 ] || unavailable "needs root"
[ -e "$E2E_DIR/images/busybox.tar" ] || unavailable "needs the part image"
apt_install docker-registry apache2-utils skopeo
D=$E2E_DIR/registry port=$((E2E_PORT + 8)) user=puller
mkdir -p "$D"
chmod 700 "$D"
if [ ! -s "$D/env" ]; then
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  # bcrypt is the only kind that the registry takes.
  printf '%s' "$password" | htpasswd -niB "$user" >"$D/htpasswd"
  printf 'REGISTRY=localhost:%s\nREGISTRY_USER=%s\nREGISTRY_PASSWORD=%s\n' "$port" "$user" "$password" >"$D/env.new"
  mv "$D/env.new" "$D/env"
fi
. "$D/env"
cat >"$D/config.yml" <<Y
version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $D/data}, delete: {enabled: true}}
http: {addr: '127.0.0.1:$port'}
auth: {htpasswd: {realm: e2e, path: $D/htpasswd}}
Y
start "$D/pid" "$D/log" /usr/bin/docker-registry serve "$D/config.yml"
up=0
for _ in $(seq 100); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then up=1; break; fi
  sleep .05
done
[ $up = 1 ] || { tail -5 "$D/log" >&2; die "the registry does not listen on 127.0.0.1:$port"; }
login=$D/login.json
printf '{"auths":{"%s":{"auth":"%s"}}}' "$REGISTRY" "$(printf '%s:%s' "$REGISTRY_USER" "$REGISTRY_PASSWORD" | base64 -w0)" >"$login"
if [ ! -e "$D/data/docker/registry/v2/repositories/private/busybox/_manifests/tags/1/current/link" ]; then
  skopeo copy -q --dest-authfile "$login" --dest-tls-verify=false "docker-archive:$E2E_DIR/images/busybox.tar" "docker://$REGISTRY/private/busybox:1"
fi
say "$REGISTRY/private/busybox:1, for $REGISTRY_USER"
