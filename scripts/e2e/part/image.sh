#!/usr/bin/env bash
# A busybox image from this machine's own busybox-static, without a registry: E2E_DIR/images/busybox.tar (docker-archive of
# localhost/busybox:latest), busybox.sif, and busybox.sandbox, the same unpacked.
. "$(dirname "$(readlink -f "$0")")/../lib.sh"
[ "$(id -u)" = 0 ] || unavailable "needs root"
apptainer --version >/dev/null 2>&1 || unavailable "needs Apptainer"
apt_install busybox-static
D=$E2E_DIR/images
mkdir -p "$D"
if [ ! -e "$D/busybox.sif" ] || [ ! -d "$D/busybox.sandbox" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  root=$work/root
  mkdir -p "$root"/{bin,etc,dev,proc,sys,tmp,run,root,home,mnt,opt,var/tmp,var/run,usr/bin,usr/local/bin}
  cp /bin/busybox "$root/bin/busybox"
  for name in $(/bin/busybox --list); do [ "$name" = busybox ] || ln -sf busybox "$root/bin/$name"; done
  ln -sf ../../bin/env "$root/usr/bin/env"
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
  printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
  touch "$root"/etc/{hosts,resolv.conf,localtime}
  chmod 1777 "$root/tmp" "$root/var/tmp"
  tar --sort=name --numeric-owner --owner=0 --group=0 --mtime=@1700000000 -C "$root" -cf "$work/layer.tar" .
  printf '{"architecture":"%s","os":"linux","created":"2023-11-14T22:13:20Z","config":{"Cmd":["/bin/sh"],"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"2023-11-14T22:13:20Z"}]}' \
    "$(dpkg --print-architecture)" "$(sha256sum <"$work/layer.tar" | cut -d' ' -f1)" >"$work/config.json"
  echo '[{"Config":"config.json","RepoTags":["localhost/busybox:latest"],"Layers":["layer.tar"]}]' >"$work/manifest.json"
  tar -C "$work" -cf "$D/busybox.tar" manifest.json config.json layer.tar
  rm -rf "$D/busybox.sif" "$D/busybox.sandbox"
  apptainer --silent build --force "$work/busybox.sif" "docker-archive:$D/busybox.tar"
  apptainer --silent build --sandbox "$D/busybox.sandbox" "docker-archive:$D/busybox.tar"
  chmod 755 "$D/busybox.sandbox"
  install -m 644 "$work/busybox.sif" "$D/busybox.sif"
fi
said=$(runuser -u "$E2E_USER" -- env -i PATH="$PATH" HOME="$(getent passwd "$E2E_USER" | cut -d: -f6)" apptainer --silent exec "$D/busybox.sif" echo hello)
[ "$said" = hello ] || die "the image does not run as $E2E_USER"
say "localhost/busybox:latest is $D/busybox.sif"
