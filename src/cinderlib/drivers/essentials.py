"""The options that a configuration of a driver nearly always contains: where the array is, how to
log in, and which part of it to use. Cinder does not mark them: almost all options are optional for
it."""

from __future__ import annotations

from collections.abc import Mapping

_PACKAGE = "cinder.volume.drivers."

_SAN = "san_ip san_login san_password"
_3PAR = f"hpe3par_api_url hpe3par_username hpe3par_password {_SAN} hpe3par_cpg"
_ONTAP = "netapp_server_hostname netapp_login netapp_password netapp_vserver"
_NAS = "nas_host nas_share_path"
_VSP = "{0}_storage_id {0}_pools"
_NEXENTA = "nexenta_rest_address nexenta_user nexenta_password"

#: By the module of a class below ``cinder.volume.drivers``, or a package that contains the module.
#: Other drivers have the options of ``san``. ``name=value`` proposes a value.
_BY_MODULE: Mapping[str, str] = {
    "ceph": "rbd_ceph_conf=/etc/ceph/ceph.conf rbd_pool rbd_iscsi_api_url rbd_iscsi_api_user"
    " rbd_iscsi_api_password rbd_iscsi_target_iqn",
    "datacore": f"{_SAN} datacore_disk_pools",
    "dell_emc.powerflex": f"{_SAN} powerflex_storage_pools",
    "dell_emc.powermax": f"{_SAN} powermax_array powermax_srp powermax_port_groups",
    "dell_emc.powerstore.nfs": _NAS,
    "dell_emc.vnx": f"{_SAN} storage_vnx_pool_names",
    "fujitsu": "cinder_eternus_config_file",
    "fusionstorage": f"{_SAN} dsware_rest_url dsware_storage_pools manager_ips",
    "hedvig": f"{_SAN} san_clustername",
    "hitachi": f"{_SAN} {_VSP.format('hitachi')}",
    "hpe.alletramp_driver": _3PAR,
    "hpe.hpe_3par_fc": _3PAR,
    "hpe.hpe_3par_iscsi": f"{_3PAR} hpe3par_iscsi_ips",
    "hpe.xp": f"{_SAN} {_VSP.format('hpexp')}",
    "huawei": "cinder_huawei_conf_file=/etc/cinder/cinder_huawei_conf.xml",
    "ibm.gpfs": "gpfs_mount_point_base",
    "ibm.ibm_storage": f"{_SAN} san_clustername proxy",
    "infinidat": f"{_SAN} infinidat_pool_name",
    "infortrend": f"{_SAN} infortrend_pools_name",
    "inspur.as13000": f"{_SAN} as13000_ipsan_pools",
    "kioxia": "kioxia_url kioxia_token kioxia_cafile",
    "lenovo": f"{_SAN} lenovo_pool_name",
    "lightos": "lightos_api_address lightos_jwt",
    "linstordrv": "linstor_default_uri=linstor://localhost",
    "lvm": "volume_group=cinder-volumes target_helper=lioadm",
    "macrosan": f"{_SAN} macrosan_pool",
    "nec.v": f"{_SAN} {_VSP.format('nec_v')}",
    "nec.volume": "nec_ismcli_fip nec_ismcli_user nec_ismcli_password nec_diskarray_name nec_pools",
    "netapp": f"{_ONTAP} netapp_storage_protocol=iscsi",
    "netapp.dataontap": _ONTAP,
    "netapp.dataontap.nfs_cmode": f"{_ONTAP} nfs_shares_config",
    "nexenta.iscsi": f"{_NEXENTA} nexenta_host nexenta_volume",
    "nexenta.nfs": "nexenta_shares_config",
    "nexenta.ns5": f"{_NEXENTA} nexenta_host nexenta_volume",
    "nexenta.ns5.nfs": f"{_NEXENTA} {_NAS}",
    "nfs": _NAS,
    "open_e": f"san_hosts {_SAN} jovian_pool",
    "prophetstor": f"{_SAN} dpl_pool",
    "pure": "san_ip pure_api_token",
    "qnap": "qnap_management_url san_login san_password qnap_poolname",
    "quobyte": "quobyte_volume_url",
    "rbd": "rbd_pool=volumes rbd_user=cinder rbd_ceph_conf=/etc/ceph/ceph.conf",
    "rsd": "podm_url podm_username podm_password",
    "san.hp": f"{_SAN} hpmsa_pool_name",
    "sandstone": f"{_SAN} sandstone_pool default_sandstone_target_ips",
    "spdk": "target_helper=spdk-nvmeof spdk_rpc_ip spdk_rpc_username spdk_rpc_password",
    "storpool": "storpool_template",
    "synology": "target_ip_address synology_username synology_password synology_pool_name",
    "vastdata": f"{_SAN} vast_subsystem vast_vippool_name",
    "veritas_access": f"{_SAN} vrts_target_config",
    "veritas_cnfs": _NAS,
    "vmstore": f"vmstore_rest_address vmstore_user vmstore_password {_NAS}",
    "vmware": "vmware_host_ip vmware_host_username vmware_host_password",
    "vzstorage": "vzstorage_shares_config",
    "yadro": f"{_SAN} pool_name export_ports host_group",
    "zadara": "zadara_vpsa_host zadara_access_key zadara_vpsa_poolname",
}


def of(path: str) -> dict[str, str]:
    """The essential options of the class with this full path: name -> proposed value, or an empty
    text."""
    if path.startswith("cinderlib.drivers.file."):
        return {"file_root": ""}
    module = path.rpartition(".")[0].removeprefix(_PACKAGE)
    while module and module not in _BY_MODULE:
        module = module.rpartition(".")[0]
    options = _BY_MODULE.get(module, _SAN).split()
    return {name: value for name, _, value in (each.partition("=") for each in options)}
