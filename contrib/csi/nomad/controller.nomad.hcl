# The controller of the CSI plug-in. The variables nomad/jobs/cinderlib-csi-controller have the
# configuration (config) and the key (key).
job "cinderlib-csi-controller" {
  type = "service"

  group "controller" {
    count = 2

    task "plugin" {
      driver = "docker"

      config {
        image = "registry.example.com/cinderlib-csi:6.0.0"
        args  = ["--endpoint", "unix:///csi/csi.sock"]
      }

      env {
        CINDERLIB_CONFIG   = "/secrets/cinderlib.toml"
        CINDERLIB_CSI_KEYS = "/secrets/csi.key"
      }

      template {
        data        = "{{ with nomadVar \"nomad/jobs/cinderlib-csi-controller\" }}{{ .config }}{{ end }}"
        destination = "secrets/cinderlib.toml"
        perms       = "0400"
      }

      template {
        data        = "{{ with nomadVar \"nomad/jobs/cinderlib-csi-controller\" }}{{ .key }}{{ end }}"
        destination = "secrets/csi.key"
        perms       = "0400"
      }

      csi_plugin {
        id        = "cinderlib"
        type      = "controller"
        mount_dir = "/csi"
      }

      kill_timeout = "60s"

      resources {
        cpu    = 200
        memory = 512
      }
    }
  }
}
