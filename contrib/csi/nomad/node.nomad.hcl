# The node of the CSI plug-in, on every client. The variable nomad/jobs/cinderlib-csi-node has the
# key (key). The Docker plug-in of the clients must allow privileged containers.
job "cinderlib-csi-node" {
  type = "system"

  group "node" {
    task "plugin" {
      driver = "docker"

      config {
        image        = "registry.example.com/cinderlib-csi-node:6.0.0"
        args         = ["--endpoint", "unix:///csi/csi.sock"]
        privileged   = true
        network_mode = "host"
        ipc_mode     = "host"

        volumes = [
          "/dev:/dev",
          "/sys:/sys",
          "/run/udev:/run/udev",
          "/etc/iscsi:/etc/iscsi",
          "/var/lib/iscsi:/var/lib/iscsi",
          "/var/lib/cinderlib:/var/lib/cinderlib",
        ]
      }

      env {
        CINDERLIB_CSI_KEYS      = "/secrets/csi.key"
        CINDERLIB_CSI_NODE_NAME = "${node.unique.name}"
      }

      template {
        data        = "{{ with nomadVar \"nomad/jobs/cinderlib-csi-node\" }}{{ .key }}{{ end }}"
        destination = "secrets/csi.key"
        perms       = "0400"
      }

      csi_plugin {
        id        = "cinderlib"
        type      = "node"
        mount_dir = "/csi"
      }

      kill_timeout = "60s"

      resources {
        cpu    = 100
        memory = 256
      }
    }
  }
}
