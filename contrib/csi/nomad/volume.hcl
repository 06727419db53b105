# nomad volume create contrib/csi/nomad/volume.hcl
id           = "data"
name         = "data"
type         = "csi"
plugin_id    = "cinderlib"
capacity_min = "10GiB"
capacity_max = "20GiB"

capability {
  access_mode     = "single-node-writer"
  attachment_mode = "file-system"
}

mount_options {
  fs_type = "ext4"
}

parameters {
  backend = "lvm"
}
