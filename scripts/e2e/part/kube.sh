#!/usr/bin/env bash
# etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl on 127.0.0.1, without nodes. One binary, built from ../kube and
# cached by the hash of its sources: five minutes and 3 GB of build cache from nothing, ten seconds with warm Go caches, none after that.
. "$(dirname "$(readlink -f "$0")")/../lib.sh"
[ "$(id -u)" = 0 ] || unavailable "needs root"
command -v openssl >/dev/null || apt_install openssl
command -v curl >/dev/null || apt_install curl
D=$E2E_DIR/kube
mkdir -p "$D"/{bin,etc,log,run,pki,etcd}
chmod 700 "$D/pki" "$D/etcd" "$D/etc"

# ------------------------------------------------------------------ the binary
source_hash=$(cat "$E2E_SCRIPTS"/kube/* | sha256sum | cut -c1-16)
cached=$E2E_CACHE/kube-$source_hash
if [ ! -x "$cached" ]; then
  command -v go >/dev/null || unavailable "no Go to build the control plane with; install Go 1.26 or newer"
  mkdir -p "$E2E_CACHE"
  version=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$E2E_SCRIPTS/kube/go.mod")
  minor=${version#v*.}
  stamp=
  # Both packages: the servers report the one, every client's User-Agent the other.
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    stamp+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitCommit="
    stamp+=" -X $package.gitTreeState=clean -X $package.buildDate=2026-01-01T00:00:00Z"
  done
  say "building Kubernetes $version"
  (cd "$E2E_SCRIPTS/kube" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-mod=readonly -trimpath -buildvcs=false" \
    go build -ldflags "-s -w$stamp" -o "$cached.new" . 9>&-)
  mv -f "$cached.new" "$cached"
fi
B=$D/bin/kube-$source_hash
[ -x "$B" ] || { rm -f "$D"/bin/*; cp "$cached" "$B.new"; mv "$B.new" "$B"; }
for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubectl; do ln -sfn "$(basename "$B")" "$D/bin/$name"; done

# ------------------------------------------------------------------ certificates and kubeconfigs
port=$E2E_PORT etcd_port=$((E2E_PORT + 1)) peer_port=$((E2E_PORT + 2)) manager_port=$((E2E_PORT + 3)) scheduler_port=$((E2E_PORT + 4))
server=https://127.0.0.1:$port
# The endpoint of the service "kubernetes" may not be a loopback address; any other does, also one that the machine has not.
advertise=$(ip -4 -o addr show scope global 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }')
advertise=${advertise:-10.255.255.254}

ca() { # ca FILE NAME
  [ ! -s "$1.crt" ] || return 0
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.crt.new" -days 3650 -subj "/CN=$2" \
    -addext keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign 2>/dev/null
  mv "$1.crt.new" "$1.crt"
}
certificate() { # certificate FILE CA SUBJECT USAGE [NAMES]: made again when any of it, or the CA, has changed
  local made
  made="$3 $4 ${5:-} $(sha256sum <"$2.crt")"
  [ "$(cat "$1.made" 2>/dev/null)" != "$made" ] || return 0
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "$3" 2>/dev/null |
    openssl x509 -req -CA "$2.crt" -CAkey "$2.key" -set_serial "0x$(openssl rand -hex 12)" -days 3650 -out "$1.crt" -extfile <(
      printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n' "$4"
      [ -z "${5:-}" ] || echo "subjectAltName=$5"
    ) 2>/dev/null
  echo "$made" >"$1.made"
}
kubeconfig() { # kubeconfig FILE USER CERTIFICATE
  printf '{"apiVersion":"v1","kind":"Config","clusters":[{"name":"e2e","cluster":{"server":"%s","certificate-authority-data":"%s"}}],"users":[{"name":"%s","user":{"client-certificate-data":"%s","client-key-data":"%s"}}],"contexts":[{"name":"e2e","context":{"cluster":"e2e","user":"%s"}}],"current-context":"e2e"}\n' \
    "$server" "$(base64 -w0 ca.crt)" "$2" "$(base64 -w0 "$3.crt")" "$(base64 -w0 "$3.key")" "$2" >"$1.new"
  mv -f "$1.new" "$1"
}
(
  cd "$D/pki"
  umask 077
  ca ca kubernetes
  ca etcd-ca etcd-ca
  ca front-proxy-ca front-proxy-ca
  [ -s sa.key ] || { openssl genrsa -out sa.key.new 2048 2>/dev/null; mv sa.key.new sa.key; }
  [ -s sa.pub ] || openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
  certificate apiserver ca /CN=kube-apiserver serverAuth "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:10.96.0.1,IP:$advertise"
  certificate apiserver-kubelet-client ca /CN=kube-apiserver-kubelet-client clientAuth
  certificate apiserver-etcd-client etcd-ca /CN=kube-apiserver-etcd-client clientAuth
  certificate etcd etcd-ca /CN=etcd serverAuth,clientAuth DNS:localhost,IP:127.0.0.1
  certificate front-proxy-client front-proxy-ca /CN=front-proxy-client clientAuth
  certificate admin ca /O=system:masters/CN=kubernetes-admin clientAuth
  certificate controller-manager ca /CN=system:kube-controller-manager clientAuth
  certificate scheduler ca /CN=system:kube-scheduler clientAuth
  kubeconfig ../admin.kubeconfig kubernetes-admin admin
  kubeconfig ../etc/controller-manager.kubeconfig system:kube-controller-manager controller-manager
  kubeconfig ../etc/scheduler.kubeconfig system:kube-scheduler scheduler
)
printf 'apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n' >"$D/etc/audit-policy.yaml"

# ------------------------------------------------------------------ the daemons
P=$D/pki
daemon() { start "$D/run/$1.pid" "$D/log/$1.log" "$D/bin/$1" "${@:2}"; }
ready() { # ready NAME PATH PORT CERTIFICATE CA
  for _ in $(seq 1200); do
    ! curl -s -f -m 5 -o /dev/null --cacert "$P/$5.crt" --cert "$P/$4.crt" --key "$P/$4.key" "https://127.0.0.1:$3$2" || return 0
    running "$D/run/$1.pid" "$1" || { tail -5 "$D/log/$1.log" >&2; die "$1 has ended, see $D/log/$1.log"; }
    sleep .05
  done
  tail -5 "$D/log/$1.log" >&2
  die "$1 is not ready after a minute"
}

# Without fsync a killed etcd loses nothing; a crashed machine may, and this state is worth nothing then.
daemon etcd --name=e2e --data-dir="$D/etcd" --listen-client-urls="https://127.0.0.1:$etcd_port" --advertise-client-urls="https://127.0.0.1:$etcd_port" \
  --listen-peer-urls="https://127.0.0.1:$peer_port" --initial-advertise-peer-urls="https://127.0.0.1:$peer_port" --initial-cluster="e2e=https://127.0.0.1:$peer_port" \
  --cert-file="$P/etcd.crt" --key-file="$P/etcd.key" --trusted-ca-file="$P/etcd-ca.crt" --client-cert-auth \
  --peer-cert-file="$P/etcd.crt" --peer-key-file="$P/etcd.key" --peer-trusted-ca-file="$P/etcd-ca.crt" --peer-client-cert-auth \
  --log-level=warn --unsafe-no-fsync
ready etcd /readyz $etcd_port apiserver-etcd-client etcd-ca

daemon kube-apiserver --bind-address=127.0.0.1 --secure-port="$port" --advertise-address="$advertise" --v=2 \
  --etcd-servers="https://127.0.0.1:$etcd_port" --etcd-cafile="$P/etcd-ca.crt" --etcd-certfile="$P/apiserver-etcd-client.crt" --etcd-keyfile="$P/apiserver-etcd-client.key" \
  --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key" --client-ca-file="$P/ca.crt" \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$P/sa.pub" --service-account-signing-key-file="$P/sa.key" \
  --service-cluster-ip-range=10.96.0.0/16 --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname \
  --kubelet-client-certificate="$P/apiserver-kubelet-client.crt" --kubelet-client-key="$P/apiserver-kubelet-client.key" --kubelet-certificate-authority="$P/ca.crt" \
  --requestheader-client-ca-file="$P/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
  --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$P/front-proxy-client.crt" --proxy-client-key-file="$P/front-proxy-client.key" \
  --audit-policy-file="$D/etc/audit-policy.yaml" --audit-log-path="$D/log/audit.log" --audit-log-maxsize=100 --audit-log-maxbackup=2
ready kube-apiserver /readyz "$port" admin ca

# The default of 20 requests per second would delay the first service account by five seconds.
daemon kube-controller-manager --kubeconfig="$D/etc/controller-manager.kubeconfig" --v=2 --bind-address=127.0.0.1 --secure-port=$manager_port \
  --authentication-kubeconfig="$D/etc/controller-manager.kubeconfig" --authorization-kubeconfig="$D/etc/controller-manager.kubeconfig" \
  --leader-elect=false --use-service-account-credentials=true --service-account-private-key-file="$P/sa.key" --root-ca-file="$P/ca.crt" \
  --cluster-signing-cert-file="$P/ca.crt" --cluster-signing-key-file="$P/ca.key" --kube-api-qps=200 --kube-api-burst=400 \
  --flex-volume-plugin-dir="$D/etc/flexvolume" --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key"
daemon kube-scheduler --kubeconfig="$D/etc/scheduler.kubeconfig" --v=2 --bind-address=127.0.0.1 --secure-port=$scheduler_port \
  --authentication-kubeconfig="$D/etc/scheduler.kubeconfig" --authorization-kubeconfig="$D/etc/scheduler.kubeconfig" --leader-elect=false \
  --kube-api-qps=200 --kube-api-burst=400 --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key"

# The API server calls kubelets by this identity, and a kubelet asks the API server what it may do.
KUBECONFIG=$D/admin.kubeconfig "$D/bin/kubectl" apply -f - >/dev/null <<'E'
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "interlink-e2e:kubelet-api-admin"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:kubelet-api-admin"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: kube-apiserver-kubelet-client}]
E
ready kube-controller-manager /healthz $manager_port admin ca
ready kube-scheduler /readyz $scheduler_port admin ca
ready kube-apiserver /api/v1/namespaces/default/serviceaccounts/default "$port" admin ca
say "Kubernetes $(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$E2E_SCRIPTS/kube/go.mod") on $server"
