# shellcheck shell=bash
# The kubelet's way to an image: crictl, and a containerd of the suite's own. Sourced after lib.sh.

crictl_bin=$tools/crictl-v1.36.0/crictl

# crictl's list of versions is not served everywhere, which `go install` insists on: a module of our own pins it.
crictl_build() {
  [[ ! -x $crictl_bin ]] || return 0
  echo "building crictl v1.36.0"
  local module
  module=$(mktemp -d "$work/module.XXXXXX")
  mkdir -p "$(dirname "$crictl_bin")"
  (
    cd "$module"
    export CGO_ENABLED=0 GOFLAGS="-trimpath -mod=mod"
    HOME=$real_home
    go mod init tools
    go get -tool sigs.k8s.io/cri-tools/cmd/crictl@v1.36.0
    go build -o "$crictl_bin" sigs.k8s.io/cri-tools/cmd/crictl
  ) >"$work/crictl-build.log" 2>&1 || { tail "$work/crictl-build.log"; return 1; }
}

crictl() { "$crictl_bin" --config "$work/crictl.yaml" "$@"; }

# containerd_start HOST URL [CA]: one that pulls from HOST by way of URL.
containerd_start() {
  mkdir -p "$work/certs.d/$1" "$work/cni"
  {
    echo "server = \"$2\""
    echo "[host.\"$2\"]"
    echo '  capabilities = ["pull", "resolve"]'
    [[ -z ${3:-} ]] || echo "  ca = \"$3\""
  } >"$work/certs.d/$1/hosts.toml"
  cat >"$work/containerd.toml" <<TOML
version = 2
root = "$work/root"
state = "$work/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$work/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  sandbox_image = "unused.invalid/pause:none"
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "$work/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$work/certs.d"
TOML
  printf 'runtime-endpoint: unix://%s\nimage-endpoint: unix://%s\ntimeout: 120\n' \
    "$work/containerd.sock" "$work/containerd.sock" >"$work/crictl.yaml"
  containerd --config "$work/containerd.toml" >"$work/containerd.log" 2>&1 &
  ends_with_suite $!
  wait_for 30 crictl info || { tail "$work/containerd.log"; return 1; }
}
