# shellcheck shell=bash
# Hosts as they are in real life, with TLS and without a port: names and certificates that only the suite sees.
# Sourced after lib.sh, in mount and network namespaces of the suite's own (`unshare --mount --net`).

# private_hosts NAME…: names of this machine, for what starts from now on. /etc is as it was, and this on top of it.
private_hosts() {
  ip link set lo up 2>/dev/null || python3 - <<'PY'
import fcntl, socket, struct
s = socket.socket()
# SIOCSIFFLAGS with IFF_UP: Debian's iproute2 may be missing.
fcntl.ioctl(s, 0x8914, struct.pack("16sH14s", b"lo", 0x1, b""))
PY
  mount --make-rprivate /
  mkdir "$work/etc"
  mount -t tmpfs none "$work/etc"
  mkdir "$work/etc/upper" "$work/etc/work"
  mount -t overlay overlay -o "lowerdir=/etc,upperdir=$work/etc/upper,workdir=$work/etc/work" /etc
  echo "127.0.0.1 $*" >>/etc/hosts
}
private_hosts_end() { umount /etc "$work/etc" 2>/dev/null || true; }

# certificate NAME…: ca.pem, and tls.pem and tls.key that it vouches for, all made anew.
certificate() {
  local curve=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  {
    openssl req -x509 "${curve[@]}" -keyout ca.key -out ca.pem -days 2 -subj "/CN=Test CA"
    openssl req "${curve[@]}" -keyout tls.key -out tls.csr -subj "/CN=berth"
    printf 'subjectAltName=DNS:%s' "$1" >names
    [[ $# -eq 1 ]] || printf ',DNS:%s' "${@:2}" >>names
    openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out tls.pem -days 2 -extfile names
  } >openssl.log 2>&1 || { cat openssl.log; return 1; }
}
# docker_trusts NAME…: for a dockerd that starts from now on.
docker_trusts() {
  local name
  for name in "$@"; do
    mkdir -p "/etc/docker/certs.d/$name"
    cp ca.pem "/etc/docker/certs.d/$name/ca.crt"
  done
}

# slow_host NAME RATE: the server under another name, to which each connection sends RATE bytes a second.
slow_host() {
  echo "127.0.0.2 $1" >>/etc/hosts
  python3 - "$2" <<'PY' >"$work/slow-host.log" 2>&1 &
import asyncio, sys
rate = int(sys.argv[1])
async def carry(reader, writer, chunk, pause):
    try:
        while data := await reader.read(chunk):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(len(data) * pause)
        writer.write_eof()
    except OSError:
        writer.close()
async def connected(reader, writer):
    up, down = await asyncio.open_connection("127.0.0.1", 443)
    await asyncio.gather(carry(reader, down, 16384, 1 / rate), carry(up, writer, 65536, 0))
    writer.close()
    down.close()
async def main():
    server = await asyncio.start_server(connected, "127.0.0.2", 443, limit=16384)
    await server.serve_forever()
asyncio.run(main())
PY
  ends_with_suite $!
}
