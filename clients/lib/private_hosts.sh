# shellcheck shell=bash
# Hosts as they are in real life, with TLS and without a port: names and certificates that only the suite sees.
# Sourced after suite.sh, in mount and network namespaces of the suite's own (`unshare --mount --net`).

# start_private_hosts NAME…: makes the names point to this machine, for programs that start from now on. An overlay over
# /etc holds them.
start_private_hosts() {
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
stop_private_hosts() { umount /etc "$work/etc" 2>/dev/null || true; }

# make_certificate NAME…: makes an authority (ca.pem) and a certificate that it signed (tls.pem, tls.key), all anew.
make_certificate() {
  local curve=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  {
    openssl req -x509 "${curve[@]}" -keyout ca.key -out ca.pem -days 2 -subj "/CN=Test CA"
    openssl req "${curve[@]}" -keyout tls.key -out tls.csr -subj "/CN=berth"
    printf 'subjectAltName=DNS:%s' "$1" >names
    [[ $# -eq 1 ]] || printf ',DNS:%s' "${@:2}" >>names
    openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out tls.pem -days 2 -extfile names
  } >openssl.log 2>&1 || { cat openssl.log; return 1; }
}
# certificate_of FILE NAME…: makes FILE.pem and FILE.key, signed by the same authority.
certificate_of() {
  local file=$1 names
  shift
  names=$(printf ',DNS:%s' "$@")
  {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$file.key" -out "$file.csr" \
      -subj "/CN=$file"
    openssl x509 -req -in "$file.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$file.pem" -days 2 \
      -extfile <(echo "subjectAltName=${names#,}")
  } >openssl.log 2>&1 || { cat openssl.log; return 1; }
}
# trust_for_docker NAME…: makes a dockerd that starts from now on trust ca.pem for these hosts.
trust_for_docker() {
  local name
  for name in "$@"; do
    mkdir -p "/etc/docker/certs.d/$name"
    cp ca.pem "/etc/docker/certs.d/$name/ca.crt"
  done
}

# start_slow_host NAME RATE: makes the server reachable under another name, where each connection takes RATE bytes a
# second from the client.
start_slow_host() {
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
  stop_at_exit $!
}
