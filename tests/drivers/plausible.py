"""Options as a person would give them for an array at 127.0.0.1, where nothing listens."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

ADDRESS, PORT = "127.0.0.1", 39999
_SAN = {"san_ip": ADDRESS, "san_login": "admin", "san_password": "s3cret-pw"}
_API = {**_SAN, "san_api_port": PORT}
_SSH = {**_SAN, "san_ssh_port": PORT}
_URL = f"https://{ADDRESS}:{PORT}"
_HPE = {
    **_SSH,
    "hpe3par_api_url": f"{_URL}/api/v1",
    "hpe3par_username": "admin",
    "hpe3par_password": "pw",
    "hpe3par_cpg": "cpg1",
}
_ALLETRA = {**_HPE, "hpe_api_url_v3": f"{_URL}/api/v3"}
_ONTAP = {
    "netapp_server_hostname": ADDRESS,
    "netapp_server_port": PORT,
    "netapp_login": "admin",
    "netapp_password": "pw",
    "netapp_vserver": "vs1",
}
_NEXENTA = {
    "nexenta_host": ADDRESS,
    "nexenta_rest_address": ADDRESS,
    "nexenta_rest_port": PORT,
    "nexenta_user": "admin",
    "nexenta_password": "pw",
}
_GPFS = {"gpfs_mount_point_base": "/gpfs/vols"}
_HUAWEI = """<?xml version="1.0" encoding="UTF-8"?>
<config><Storage><Product>V3</Product><Protocol>{protocol}</Protocol><UserName>admin</UserName>
<UserPassword>pw</UserPassword><RestURL>{url}/deviceManager/rest/</RestURL></Storage>
<LUN><StoragePool>pool1</StoragePool></LUN>
<iSCSI><DefaultTargetIP>{address}</DefaultTargetIP></iSCSI></config>
"""
_FUJITSU = """<?xml version="1.0" encoding="UTF-8"?>
<FUJITSU><EternusIP>{address}</EternusIP><EternusPort>{port}</EternusPort>
<EternusUser>admin</EternusUser><EternusPassword>pw</EternusPassword><EternusPool>p</EternusPool>
<EternusSnapPool>s</EternusSnapPool><EternusISCSIIP>{address}</EternusISCSIIP></FUJITSU>
"""
_VERITAS = """<?xml version="1.0"?><VRTS><VrtsTargets><Target>
<Name>iqn.2017-02.com.veritas:target03</Name><PortalIP>{address}</PortalIP>
<Authentication>0</Authentication></Target></VrtsTargets></VRTS>
"""


def _vsp(prefix: str) -> dict[str, Any]:
    own = {
        "storage_id": "886000123456",
        "pools": "pool1",
        "snap_pool": "s",
        "target_ports": "CL1-A",
    }
    return {**_API, **{f"{prefix}_{name}": value for name, value in own.items()}}


#: By the module of a class below ``cinder.volume.drivers``, or a package above it.
_BY_MODULE: Mapping[str, Mapping[str, Any]] = {
    "datacore": {**_SAN, "datacore_disk_pools": "p"},
    "datera": _SAN,
    "dell_emc.powerflex": {
        **_SAN,
        "powerflex_rest_server_port": PORT,
        "powerflex_storage_pools": "dom1:pool1",
    },
    "dell_emc.powermax": {
        **_API,
        "powermax_array": "000197800123",
        "powermax_srp": "SRP_1",
        "powermax_port_groups": "[pg1]",
    },
    "dell_emc.powerstore": {**_SAN, "storage_protocol": "iSCSI"},
    "dell_emc.powerstore.nfs": {"nas_host": ADDRESS, "nas_share_path": "/export"},
    "dell_emc.powervault": {**_SAN, "pvme_iscsi_ips": ADDRESS},
    "dell_emc.powervault.fc": _SAN,
    "dell_emc.sc": {**_SAN, "dell_sc_api_port": PORT},
    "dell_emc.unity": {**_SAN, "storage_protocol": "iSCSI"},
    "dell_emc.vnx": {**_SAN, "storage_vnx_pool_names": "p"},
    "dell_emc.xtremio": _SAN,
    "fujitsu": {"cinder_eternus_config_file": "{fujitsu}", "fujitsu_passwordless": False},
    "fungible": _API,
    "fusionstorage": {
        **_SAN,
        "dsware_rest_url": f"http://{ADDRESS}:{PORT}",
        "dsware_storage_pools": "p1",
        "manager_ips": f"h1:{ADDRESS}",
    },
    "hedvig": {**_SAN, "san_clustername": "cl1"},
    "hitachi": _vsp("hitachi"),
    "hpe.alletramp_driver": {**_ALLETRA, "hpe3par_iscsi_ips": ADDRESS},
    "hpe.hpe_3par_fc": _HPE,
    "hpe.hpe_3par_iscsi": {**_HPE, "hpe3par_iscsi_ips": ADDRESS},
    "hpe.nimble": _SAN,
    "hpe.xp": _vsp("hpexp"),
    "huawei": {"cinder_huawei_conf_file": "{huawei}"},
    "ibm.gpfs": {
        **_GPFS,
        "gpfs_hosts": ADDRESS,
        "gpfs_user_password": "pw",
        "gpfs_ssh_port": PORT,
        "nas_host": ADDRESS,
        "nas_login": "root",
        "nas_password": "pw",
        "nas_ssh_port": PORT,
        "nfs_shares_config": "{shares}",
    },
    "ibm.ibm_storage": {
        **_SAN,
        "san_password": "c2VjcmV0",
        "san_clustername": "pool1",
        "connection_type": "fibre_channel",
        "proxy": "cinder.volume.drivers.ibm.ibm_storage.ds8k_proxy.DS8KProxy",
    },
    "ibm.storwize_svc": _SSH,
    "infinidat": {
        **_SAN,
        "infinidat_pool_name": "p",
        "infinidat_storage_protocol": "iscsi",
        "infinidat_iscsi_netspaces": "ns",
    },
    "infortrend": {
        **_SAN,
        "infortrend_pools_name": "p",
        "infortrend_cli_path": "/opt/bin/raidcmd.jar",
        "infortrend_cli_max_retries": 1,
    },
    "inspur.as13000": {**_API, "as13000_ipsan_pools": "Pool0", "as13000_meta_pool": "m"},
    "inspur.instorage": _SSH,
    "kaminario": _SAN,
    "kioxia": {"kioxia_url": _URL, "kioxia_token": "t", "kioxia_cafile": "{shares}"},
    "lenovo": {**_SAN, "lenovo_pool_name": "A", "lenovo_iscsi_ips": ADDRESS},
    "lenovo.lenovo_fc": {**_SAN, "lenovo_pool_name": "A"},
    "lightos": {"lightos_api_address": ADDRESS, "lightos_api_port": PORT, "lightos_jwt": "jwt"},
    "linstordrv": {"linstor_default_uri": f"linstor://{ADDRESS}:{PORT}"},
    "lvm": {"volume_group": "no-such-group", "target_helper": "lioadm"},
    "macrosan": {
        **_SAN,
        "san_ip": f"{ADDRESS},127.0.0.2",
        "macrosan_pool": "pool1",
        "macrosan_client": "h1;c1;iqn1;1",
        "macrosan_client_default": "eth-1:0|eth-2:0;eth-1:0|eth-2:0",
    },
    "nec.v": _vsp("nec_v"),
    "nec.volume": {
        "nec_ismcli_fip": ADDRESS,
        "nec_ismcli_user": "admin",
        "nec_ismcli_password": "pw",
        "nec_ssh_pool_port_number": PORT,
        "nec_diskarray_name": "arr1",
        "nec_pools": "0",
        "nec_backup_pools": "1",
    },
    "netapp": {**_ONTAP, "netapp_storage_protocol": "iscsi"},
    "netapp.dataontap": _ONTAP,
    "netapp.dataontap.nfs_cmode": {**_ONTAP, "nfs_shares_config": "{shares}"},
    "nexenta.iscsi": {**_NEXENTA, "nexenta_volume": "vol"},
    "nexenta.nfs": {**_NEXENTA, "nexenta_shares_config": "{nexenta}"},
    "nexenta.ns5": {**_NEXENTA, "nexenta_volume": "vol"},
    "nexenta.ns5.nfs": {**_NEXENTA, "nas_host": ADDRESS, "nas_share_path": "pool/share"},
    "nfs": {"nfs_shares_config": "{shares}", "nfs_mount_attempts": 1},
    "open_e": {**_API, "san_hosts": ADDRESS, "jovian_pool": "Pool-0"},
    "prophetstor": {**_SAN, "dpl_port": PORT, "dpl_pool": "a" * 32},
    "pure": {"san_ip": ADDRESS, "pure_api_token": "token"},
    "qnap": {
        "qnap_management_url": f"http://{ADDRESS}:{PORT}",
        "qnap_poolname": "p1",
        "san_login": "admin",
        "san_password": "pw",
    },
    "quobyte": {"quobyte_volume_url": f"quobyte://{ADDRESS}:{PORT}/vol"},
    "rbd": {"rbd_ceph_conf": "{ceph}", "rbd_user": "cinder", "rbd_pool": "volumes"},
    "ceph": {
        "rbd_ceph_conf": "{ceph}",
        "rbd_pool": "volumes",
        "rbd_iscsi_api_url": f"http://{ADDRESS}:{PORT}",
        "rbd_iscsi_api_user": "admin",
        "rbd_iscsi_api_password": "pw",
        "rbd_iscsi_target_iqn": "iqn.2003-01.com.redhat:x",
    },
    "rsd": {"podm_url": f"http://{ADDRESS}:{PORT}", "podm_username": "a", "podm_password": "pw"},
    "san.hp": {**_SAN, "hpmsa_pool_name": "A", "hpmsa_iscsi_ips": ADDRESS},
    "san.hp.hpmsa_fc": {**_SAN, "hpmsa_pool_name": "A"},
    "sandstone": {**_SAN, "default_sandstone_target_ips": ADDRESS, "sandstone_pool": "p1"},
    "solidfire": {**_SAN, "sf_api_port": PORT},
    "spdk": {
        "target_helper": "spdk-nvmeof",
        "target_protocol": "nvmet_rdma",
        "spdk_rpc_ip": ADDRESS,
        "spdk_rpc_port": PORT,
        "spdk_rpc_username": "a",
        "spdk_rpc_password": "b",
    },
    "storpool": {"storpool_template": "t1"},
    "synology": {
        "synology_pool_name": "vol1",
        "synology_password": "pw",
        "synology_admin_port": PORT,
        "target_ip_address": ADDRESS,
    },
    "toyou.acs5000": _SSH,
    "toyou.tyds": {**_SAN, "tyds_http_port": PORT},
    "vastdata": {**_API, "vast_subsystem": "s1", "vast_vippool_name": "v1"},
    "veritas_access": {**_API, "vrts_target_config": "{veritas}"},
    "veritas_cnfs": {"nfs_shares_config": "{shares}"},
    "vmstore": {
        "vmstore_rest_address": ADDRESS,
        "vmstore_rest_port": PORT,
        "vmstore_password": "pw",
        "nas_host": ADDRESS,
        "nas_share_path": "/tintri/x",
        "vmstore_openstack_hostname": "h1",
        "nfs_mount_options": "vers=3",
    },
    "vmware": {
        "vmware_host_ip": ADDRESS,
        "vmware_host_port": PORT,
        "vmware_host_username": "admin",
        "vmware_host_password": "pw",
        "vmware_insecure": True,
    },
    "vzstorage": {"vzstorage_shares_config": "{virtuozzo}"},
    "yadro": {
        **_SAN,
        "api_port": PORT,
        "pool_name": "p1",
        "export_ports": "p01,p02",
        "host_group": "hg",
    },
    "zadara": {
        "zadara_vpsa_host": ADDRESS,
        "zadara_vpsa_port": PORT,
        "zadara_access_key": "k",
        "zadara_vpsa_poolname": "pool-1",
    },
}


def options(path: str, folder: pathlib.Path) -> dict[str, Any]:
    """Options for the class of that full path.

    :param folder: for the files that some options name.
    """
    module = path.rpartition(".")[0].removeprefix("cinder.volume.drivers.")
    while module not in _BY_MODULE:
        module = module.rpartition(".")[0]
        if not module:
            return {}
    files = _files(folder, "FC" if "FC" in path else "iSCSI")
    return {
        name: value.format(**files) if str(value).startswith("{") else value
        for name, value in _BY_MODULE[module].items()
    }


def _files(folder: pathlib.Path, protocol: str) -> dict[str, str]:
    texts = {
        "shares": f"{ADDRESS}:/export\n",
        "nexenta": f"{ADDRESS}:/export http://admin:pw@{ADDRESS}:{PORT}\n",
        "virtuozzo": f"{ADDRESS}/cluster\n",
        "ceph": f"[global]\nmon_host = {ADDRESS}:{PORT}\n",
        "huawei": _HUAWEI.format(protocol=protocol, url=_URL, address=ADDRESS),
        "fujitsu": _FUJITSU.format(address=ADDRESS, port=PORT),
        "veritas": _VERITAS.format(address=ADDRESS),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in texts}
