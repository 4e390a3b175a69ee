#!/usr/bin/env bash
# Apptainer. Debian 12 has none, and sid's wants a newer glibc: its two programs get sid's glibc beside them through patchelf, which nothing
# else on the machine sees. One that is installed already is used as it is.
. "$(dirname "$(readlink -f "$0")")/../lib.sh"
[ "$(id -u)" = 0 ] || unavailable "needs root"
# Without udev the device is root's alone, and no user can mount an image.
chmod 666 /dev/fuse 2>/dev/null || say "no /dev/fuse: only unpacked images will start"
if ! apptainer --version >/dev/null 2>&1; then
  [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || unavailable "Apptainer's package is fetched for Debian on amd64 only; install Apptainer 1.3 or newer"
  apt_install patchelf squashfs-tools squashfuse uidmap fuse3 fuse-overlayfs libseccomp2 libsqlite3-0 ca-certificates
  glibc=/usr/lib/apptainer-glibc cache=$E2E_CACHE/apptainer
  mkdir -p "$glibc" "$cache"/{lists/partial,archives/partial,debs}
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 2>/dev/null | grep -E '/debian/?$' | head -1)
  [ -n "$mirror" ] || unavailable "apt knows no Debian mirror to fetch Apptainer from"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$cache/sources.list"
  # A private apt state: the machine's own sources stay as they are, signatures are checked even so.
  private=(-qq "-oDir::Etc::SourceList=$cache/sources.list" -oDir::Etc::SourceParts=/dev/null "-oDir::State::Lists=$cache/lists" "-oDir::Cache=$cache" -oAPT::Sandbox::User=root)
  if ! ls "$cache"/debs/apptainer_*.deb "$cache"/debs/libc6_*.deb >/dev/null 2>&1; then
    apt-get "${private[@]}" update
    (cd "$cache/debs" && apt-get "${private[@]}" download apptainer libc6)
  fi
  unpacked=$(mktemp -d)
  dpkg-deb -x "$cache"/debs/libc6_*.deb "$unpacked"
  cp -a "$unpacked"/usr/lib/x86_64-linux-gnu/{ld-linux-x86-64.so.2,libc.so.6,libm.so.6,libresolv.so.2,libpthread.so.0,libdl.so.2,librt.so.1,libutil.so.1,libnss_files.so.2,libnss_dns.so.2} "$glibc/"
  rm -rf "$unpacked"
  dpkg-deb -x "$cache"/debs/apptainer_*.deb /
  for program in /usr/bin/apptainer /usr/lib/x86_64-linux-gnu/apptainer/bin/starter; do
    patchelf --set-interpreter "$glibc/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$glibc:/usr/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu" "$program"
  done
fi
say "$(apptainer --version)"
