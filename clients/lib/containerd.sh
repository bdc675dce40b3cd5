# shellcheck shell=bash
# The kubelet's way to an image: crictl, and a containerd of the suite's own. Sourced after suite.sh.

crictl_path() { go_tool_by_module crictl sigs.k8s.io/cri-tools/cmd/crictl v1.36.0; }
crictl() { "$(crictl_path)" --config "$work/crictl.yaml" "$@"; }

# start_containerd HOST URL [CA]: starts a containerd that asks URL for the images of HOST.
start_containerd() {
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
  stop_at_exit $!
  wait_for 30 crictl info || { tail "$work/containerd.log"; return 1; }
}
